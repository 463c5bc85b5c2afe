"""What a checkpoint says it was made from, read from the metadata of its safetensors files.

``save-model`` writes it under the key "esprobe". Any other checkpoint says nothing, and damaged metadata counts as
nothing too: it decides no rollout, only which model a report calls the base.
"""

import json
from collections.abc import Mapping

from esprobe.engines.checkpoint import Checkpoint
from esprobe.spec import MADE_FROM

KEY = "esprobe"
"""Key of the metadata that ``save-model`` writes."""


def origin(checkpoint: Checkpoint) -> Mapping[str, str]:
    """Fingerprint and name of the model that a checkpoint was made from, for a session's record; empty if not known.

    Raises:
        ModelError: the index cannot be read, or names a file that does not exist.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint.weights[0], framework="numpy") as file:
            written = json.loads((file.metadata() or {}).get(KEY, "null"))
    except (SafetensorError, ValueError, RecursionError):  # a damaged file is refused by the engine that loads it
        return {}
    if not isinstance(written, dict) or not isinstance(written.get("fingerprint"), str):
        return {}
    return {MADE_FROM: written["fingerprint"], f"{MADE_FROM}_model": str(written.get("model", ""))}
