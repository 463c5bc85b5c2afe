"""``esprobe`` and ``python -m esprobe``: a sampling command hears its scheduler before anything else is imported."""

import sys
from contextlib import nullcontext

from esprobe.sampling.stop import StopSignals, end_by_signal


def main() -> None:
    """Entry point of the ``esprobe`` script."""
    sampling = any(word.startswith(("sample-", "scan")) for word in sys.argv[1:2])
    if not sampling:
        end_by_signal()
    with StopSignals() if sampling else nullcontext():
        from esprobe.cli.main import main as run

        run()


# Guarded, because processes that a report starts load this file again under another name.
if __name__ == "__main__":
    main()
