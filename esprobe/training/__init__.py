"""ES training: the loop over iterations, from a recipe and stored rewards to the weights of the next iteration.

Owns the algorithm (docs/training.md): which noise a population has, what its rewards make of it, and when a run is
complete. Rollouts are drawn by the sampling loop, and weights are held by the engines.
"""
