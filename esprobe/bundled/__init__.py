"""The small model that ships with esprobe (folder ``tiny``), and the script that trained it.

Owns the model's recipe. Does not know sampling, engines or stores.
"""

from pathlib import Path

TINY = Path(__file__).parent / "tiny"
"""The folder of the bundled model, an ordinary checkpoint folder."""
