"""Text that can be encoded as UTF-8."""


def storable(text: str) -> str:
    r"""The text with lone surrogates, which UTF-8 cannot encode, replaced by escapes such as \udcff."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
