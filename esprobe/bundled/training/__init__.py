"""How the bundled model was trained: in the repository and the source distribution, not in the wheel.

Owns the model's recipe. Does not know sampling, engines or stores.
"""
