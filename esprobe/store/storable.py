"""Text as an UTF-8 file can hold it."""


def storable(text: str) -> str:
    r"""The text with lone surrogates, which no UTF-8 file can hold, spelled out as \udcff and the like."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
