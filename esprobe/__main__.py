"""``python -m esprobe``."""

from esprobe.cli.main import main

# Guarded, because processes that a report starts load this file again under another name.
if __name__ == "__main__":
    main()
