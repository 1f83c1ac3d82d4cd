"""What the numbers of every command may be, and why: one table, by the name of the option.

The same name means the same in every command; where it does not (steps of sampling, steps of training) the command
says which it means. A command may ask for more than this, never for less.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from bassbench.bad_input import BadInputError


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
    "phi": _SHARE,
    "eta": _SHARE,
    "grounding": _SHARE,
    "strength": _SHARE,
    "grounding_exponent": Limit(0, 100, "the weight beyond is that of no step but the first"),
    "exponent": Limit(0, 100, "the weight beyond is that of no step but the first"),
    "temperature": _TEMPERATURE,
    "temperatures": _TEMPERATURE,
    "window": Limit(256, 65_536, "256 frames are the length of training, 65,536 an hour and a half"),
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
