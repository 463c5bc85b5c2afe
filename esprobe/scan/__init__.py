"""The band of sigma, or of temperature, that is worth sampling: read from a few rollouts at each point of a grid.

Owns the grid, the statistics of its points and the advice. It does not sample: it reads rollouts from a database.
"""
