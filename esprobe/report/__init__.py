"""Tables and reports from numbers. Does not know the store: what is shown is handed in."""
