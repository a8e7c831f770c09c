"""The program ``plugfit``: ``python -m plugfit``."""

import signal
import sys

from . import _native


def main():
    """Runs it with this process's arguments."""
    # Ctrl-C is the program's, which ends after the batch and keeps what was trained.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.run_program(["plugfit", *sys.argv[1:]], _begun_anew()))


def _begun_anew():
    """The command that begins this program in another process, which finds the same modules: not those that lie in the folder it is in."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from plugfit.__main__ import main; main()"
    return [sys.executable, "-c", code]


if __name__ == "__main__":
    main()
