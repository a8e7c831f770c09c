"""The program ``plugfit``: ``python -m plugfit``."""

import signal
import sys

from . import _native


def main():
    """Runs it with this process's arguments."""
    # Ctrl-C is the program's, which ends after the batch and keeps what was trained.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.run_program(["plugfit", *sys.argv[1:]], [sys.executable, "-m", "plugfit"]))


if __name__ == "__main__":
    main()
