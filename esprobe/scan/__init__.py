"""The band of sigma, or of temperature, that is worth sampling: read from a few rollouts at each point of a grid.

Owns the grid, what is told of a point, and the advice. Does not draw: the rollouts are ordinary ones in a database.
"""
