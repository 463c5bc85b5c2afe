"""The small model that ships with esprobe (folder ``tiny``).

The scripts that trained it are in ``training``, which the wheel leaves out.
"""

from pathlib import Path

TINY = Path(__file__).parent / "tiny"
"""The folder of the bundled model, an ordinary checkpoint folder."""
