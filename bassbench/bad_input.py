"""Bad input gets one clear line and exit status 2, never a traceback and never half a file."""

import contextlib
import io
import sys
from collections.abc import Iterator

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


class BadInputError(ValueError):
    """The user's input cannot be used; the message names it, what was expected and what to do, in one line."""


@contextlib.contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Wrap a command line's main: what stops it is one line, whatever the terminal can show.

    A `BadInputError` ends with status 2, Ctrl-C with status 130.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a "≤" is no reason to lose a table on a cp1252 terminal
    try:
        yield
    except BadInputError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nstopped: what was finished is kept; the same command goes on from there", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
