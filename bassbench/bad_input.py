"""Bad input gets one clear line and exit status 2, never a traceback and never half a file."""

import contextlib
import sys
from collections.abc import Iterator


class BadInputError(ValueError):
    """The user's input cannot be used; the message names it, what was expected and what to do, in one line."""


@contextlib.contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Wrap a command line's main: a `BadInputError` is printed as one line and ends with status 2."""
    try:
        yield
    except BadInputError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None
