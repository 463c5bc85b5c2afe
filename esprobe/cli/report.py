"""``report``."""
def report() -> None:
    """x"""
