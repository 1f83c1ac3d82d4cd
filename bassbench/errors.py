"""What bad input gets: one clear line and exit status 2, never a traceback and never half a file.

Also the nearest name for one that is not known, and the limits of every number that can be given.
"""

import contextlib
import dataclasses
import difflib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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


# The limits: what the numbers of every command may be, and why. The same name means the same in every command;
# where it does not (steps of sampling, steps of training) the command says which it means. A command may ask for more
# than this, never for less.


@dataclasses.dataclass(frozen=True)
class Limit:
    """The least and the most that is taken, both included, and the reason."""

    least: float
    most: float
    why: str


_CORES = os.cpu_count() or 1
_WORKERS = Limit(1, 4 * _CORES, f"this machine has {_CORES} processors, and more than four each only wait")
_SHARE = Limit(0, 1, "it is a share")
_TRAINING = Limit(1, 10**9, "a run has steps, and an end")
_SONGS = Limit(1, 10**6, "no data set has more")
_GUIDANCE = Limit(-100, 100, "far beyond 10 the estimate overflows and only noise is left")
_STEPS = Limit(1, 1000, "the levels of noise of more steps lie too close together to be told apart")
_TEMPERATURE = Limit(0.001, 10, "the network was trained on noise of deviation 1")

LIMITS: Mapping[str, Limit] = {
    "seed": Limit(0, 2**32 - 1, "seeds are whole numbers of 32 bits"),
    # The machine
    "threads": _WORKERS,
    "processes": _WORKERS,
    "batch_size": Limit(1, 65_536, "no memory holds more clips"),
    "accumulate": Limit(1, 65_536, "no batch has more parts"),
    "batch_frames": Limit(1, 2**20, "no memory holds more frames"),
    # Sampling
    "steps": _STEPS,
    "evaluations": _STEPS,
    "converged": _STEPS,
    "cfg": _GUIDANCE,
    "notes_weight": _GUIDANCE,
    "phi": _SHARE,
    "eta": _SHARE,
    "grounding": _SHARE,
    "strength": _SHARE,
    "grounding_exponent": Limit(0, 100, "the weight beyond is that of no step but the first"),
    "exponent": Limit(0, 100, "the weight beyond is that of no step but the first"),
    "temperature": _TEMPERATURE,
    "temperatures": _TEMPERATURE,
    "window": Limit(256, 65_536, "256 frames are the length of training, 65,536 an hour and a half"),
    # What is asked for
    "bpm": Limit(20, 400, "no music counts slower or faster beats"),
    "beats_per_bar": Limit(1, 32, "no bar has more"),
    # Training
    "training_steps": _TRAINING,
    "log_every": _TRAINING,
    "validate_every": _TRAINING,
    "checkpoint_every": _TRAINING,
    "sample_every": Limit(0, 10**9, "0 is never"),
    "warmup": Limit(0, 10**9, "it is a number of steps"),
    "adversarial_start": Limit(0, 10**9, "it is a step"),
    "learning_rate": Limit(1e-12, 1, "nothing is learned below, and nothing kept above"),
    "weight_decay": Limit(0, 100, "more leaves no weights"),
    "clip": Limit(1e-9, 1e9, "it is the norm of a gradient"),
    "ema": Limit(0, 0.999_999, "an average that forgets nothing never moves"),
    "unconditional": _SHARE,
    "crop_frames": Limit(1, 65_536, "no memory holds a longer crop"),
    "fit_frames": Limit(1, 10**8, "no memory holds more"),
    "frames": Limit(1, 65_536, "an hour and a half is the longest"),
    # Data
    "clips": _SONGS,
    "validation_clips": _SONGS,
    "reference_clips": Limit(0, 10**6, "no data set has more"),
    "songs": _SONGS,
    "validation_songs": _SONGS,
    "count": _SONGS,
    "variations": Limit(1, 100, "each is sampled anew"),
    "subsets": Limit(1, 10_000, "more subsets of a handful of stems do not differ"),
    "variants": Limit(1, 10_000, "more renderings of a song do not differ"),
    "examples": Limit(0, 1000, "no page holds more players"),
    "seconds": Limit(1, 3600, "a second is the shortest music, an hour the longest"),
    "shard_seconds": Limit(1, 300, "a sample is read whole, all its stems together"),
    "per_shard": Limit(1, 1000, "a shard that was cut off is written again whole"),
}


def check_limits(settings: Any, /, *, option: bool = True, **means: str) -> None:
    """Raise BadInputError for the first number of a dataclass that lies outside its limit; None is no number.

    `means` names the limit of a field that is called otherwise here: `steps="training_steps"`. Of a tuple every number
    is checked. Errors name the command's option, or with `option=False` the field.
    """
    for field in dataclasses.fields(settings):
        limit = LIMITS.get(means.get(field.name, field.name))
        value = getattr(settings, field.name)
        if limit is None or value is None or isinstance(value, bool):
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if not limit.least <= number <= limit.most:  # NaN too
                name = f"--{field.name.replace('_', '-')}" if option else field.name
                least, most = (f"{bound:.10g}" for bound in (limit.least, limit.most))
                raise BadInputError(f"{name} takes {least} to {most}, got {number}: {limit.why}")
