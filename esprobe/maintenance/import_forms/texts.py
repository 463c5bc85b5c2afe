"""The text of a message, or of a list of messages, in the chat form that many tools share."""

from typing import Any

from esprobe.maintenance.import_forms.forms import Fields


def text_of(value: Any) -> Any:
    """What the model wrote.

    Args:
        value: a text, or messages with "role" and "content", of which those of the assistant count.

    Returns:
        the text; several messages are separated by a blank line. Anything else as it is, for the check of rows.
    """
    if not isinstance(value, list):
        return value
    texts = [content_of(one) for one in value if isinstance(one, dict) and one.get("role") == "assistant"]
    written = [text for text in texts if isinstance(text, str)]
    return "\n\n".join(written) if written else value


def question_of(value: Any) -> str | None:
    """The text of a prompt: itself, or its last message of the user; None if it has none."""
    if isinstance(value, list):
        users = [one for one in value if isinstance(one, dict) and one.get("role") == "user"]
        value = content_of(users[-1]) if users else None
    return value if isinstance(value, str) else None


def content_of(message: Fields) -> Any:
    """The text of a message, whose content may be a list of parts; reasoning and pictures are no part of it."""
    content = message.get("content")
    if not isinstance(content, list):
        return "" if content is None else content
    parts = [part for part in content if isinstance(part, dict) and part.get("type") in ("text", "output_text")]
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def columns_of(said: Any, problem: Any) -> dict[str, Any]:
    """What a file says of a problem, a mapping in most tools, and its number or name beside it.

    A text under "problem", as of MATH, becomes "question" so that both can be searched for.
    """
    columns = dict(mapping_of(said))
    if isinstance(columns.get("problem"), str):
        columns.setdefault("question", columns["problem"])
    return columns | {"problem": problem}


def mapping_of(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
