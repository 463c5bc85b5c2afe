"""Embeds data and scripts in the page so that data cannot run as code and the page makes no network request."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def as_data(value: Any) -> str:
    """JSON that may stand inside a script element: ASCII, and without the characters that end one or begin markup.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    # In JSON these three occur inside strings only, where an escape means the same.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def asset(name: str) -> str:
    """A file of the page that ships with esprobe."""
    return (files("esprobe.report.html") / "assets" / name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy that runs these scripts and no other, and forbids every request.

    Plotly styles its drawings by style attributes and a style element, and offers a drawing as a picture by way of
    ``data:`` and ``blob:`` addresses, which are no requests.
    """
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "form-action 'none'; base-uri 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
