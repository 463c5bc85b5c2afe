"""What tells training runs apart, in words."""

from collections.abc import Mapping
from typing import Any


def recipe_words(recipe: Mapping[str, Any], *, seed: bool = True) -> str:
    """The parameters of a run that people choose, with its seed or without; those that are usual are left out."""
    first, stop = recipe["problems"]
    size = recipe["problems_per_iteration"]
    words = [
        f"sigma {recipe['sigma']:g}",
        f"alpha {recipe['alpha']:g}",
        f"population {recipe['population']:,}",
        f"problems {first}:{stop}",
        *([f"seed {recipe['seed']}"] if seed else ()),
    ]
    if size != stop - first:
        words.append(f"{size:,} problems per iteration")
    if recipe["antithetic"]:
        words.append("antithetic")
    if recipe["shaping"] != "zscore":
        words.append(f"shaping {recipe['shaping']}")
    if recipe["noise"] != "iid":
        words.append(f"noise {recipe['noise']}")
    if recipe["scope"] is not None:
        words.append(f"scope {recipe['scope']}")
    return ", ".join(words)
