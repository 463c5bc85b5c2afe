"""``passk``: pass@k of every condition in a database."""
import typer
def passk() -> None:
    """x"""
