"""What a checkpoint says it was made from, read from the file that ``save-model`` and ``convert`` write beside it.

Any other checkpoint says nothing, and a damaged file counts as nothing too: it decides no rollout, only which model a
report calls the base.
"""

import json
from collections.abc import Mapping

from esprobe.engines.checkpoint import ORIGIN, Checkpoint
from esprobe.spec import MADE_FROM


def origin(checkpoint: Checkpoint) -> Mapping[str, str]:
    """Fingerprint and name of the model that a checkpoint was made from, for a session's record; empty if not known."""
    try:
        written = json.loads((checkpoint.folder / ORIGIN).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(written, dict) or not isinstance(written.get("fingerprint"), str):
        return {}
    if written["fingerprint"] == checkpoint.fingerprint:  # weights that no training has changed: it is that model
        return {}
    return {MADE_FROM: written["fingerprint"], f"{MADE_FROM}_model": str(written.get("model", ""))}
