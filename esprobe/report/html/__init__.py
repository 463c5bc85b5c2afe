"""The report as one page that needs no network. Does not know the store: texts are handed in."""
