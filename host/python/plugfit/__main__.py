"""The program ``plugfit``: ``python -m plugfit``."""

import signal
import sys

from . import _native


def main():
    """Runs the program with this process's arguments."""
    # The program handles Ctrl-C itself: it stops after the batch and keeps the trained weights.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.run_program(["plugfit", *sys.argv[1:]], _restart_command()))


def _restart_command():
    """Returns the command that starts this program in another process, with the same ``sys.path``."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from plugfit.__main__ import main; main()"
    return [sys.executable, "-c", code]


if __name__ == "__main__":
    main()
