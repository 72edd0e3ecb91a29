"""The end of every command line: expected errors in one line, and the exit status."""

import sys
from collections.abc import Callable

EXPECTED_ERRORS = (OSError, ValueError, FloatingPointError, ImportError, RuntimeError)
FAILED, INTERRUPTED = 1, 130  # exit statuses


def run(command: Callable[[], int | None], program: str, interrupted: str = "stopped") -> int:
    """Run a command.

    Args:
        command: its work; returns the exit status, None for 0.
        program: its name in messages.
        interrupted: what Ctrl-C prints, for commands that can be resumed.

    Returns:
        the exit status: the command's own, 1 after an expected error, 130 after Ctrl-C.
    """
    try:
        return command() or 0
    except KeyboardInterrupt:
        print(f"\n{program}: {interrupted}", file=sys.stderr)
        return INTERRUPTED
    except EXPECTED_ERRORS as error:
        print(f"{program}: {error}", file=sys.stderr)
        return FAILED
