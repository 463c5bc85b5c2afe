"""``python -m esprobe``."""

from esprobe.cli.main import main

main()
