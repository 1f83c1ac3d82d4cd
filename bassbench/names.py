"""A name that is not known, answered with the nearest one and all that there are."""

import difflib
from collections.abc import Iterable

from bassbench.bad_input import BadInputError


def unknown_name(kind: str, name: str, known: Iterable[str], more: str = "") -> BadInputError:
    """The error to raise for a `kind` of thing called `name` that is none of `known`; `more` says what else is taken.

    It reads "no metric 'fda': did you mean 'FAD'? Choose from FAD, KAD". The nearest name is the one that `difflib`
    finds, capitals and "_" for "-" ignored; where none is near, none is named.
    """
    names = list(dict.fromkeys(known))
    plain = {_plain(one): one for one in reversed(names)}
    near = difflib.get_close_matches(_plain(name), plain, n=1)
    guess = f" did you mean '{plain[near[0]]}'?" if near else ""
    choices = ", ".join([*names, *([more] if more else [])])
    return BadInputError(f"no {kind} '{name}':{guess} {'Choose' if guess else 'choose'} from {choices}")


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
