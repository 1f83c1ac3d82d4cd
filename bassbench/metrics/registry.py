"""All that is measured, by name: metrics of clips and of sets, those that plug-ins add, the gate and the probes."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bassbench.errors import BadInputError, unknown_name
from bassbench.metrics import harmony, level, rhythm, stereo, style
from bassbench.metrics.metric import ClipMetric
from bassbench.metrics.probes import PROBES, Probe
from bassbench.metrics.sets import SET_METRICS, SetMetric
from bassbench.plugins import METRICS, broken, load_plugin, plugins, warn_once


@dataclass(frozen=True)
class Gate:
    """The collapse gate's row: the share of clips that pass (`bassbench.metrics.gate`)."""

    name: str = "passes the gate"
    unit: str = ""
    direction: str = "higher"
    citation: str = "bassbench.metrics.gate"
    version: int = 1


GATE = Gate()
Metric = ClipMetric | SetMetric
Measure = Metric | Probe | Gate
Named = TypeVar("Named")


@functools.cache
def clip_metrics() -> dict[str, ClipMetric]:
    """Metrics of single clips by name: each module's `METRICS`, then plug-ins; a broken plug-in is warned of."""
    found: dict[str, ClipMetric] = {}
    for module in (harmony, level, rhythm, stereo, style):
        found |= {metric.name: metric for metric in module.METRICS}
    for point in plugins(METRICS).values():
        try:
            loaded = load_plugin(point)
            for metric in (loaded,) if isinstance(loaded, ClipMetric) else tuple(loaded):
                if not isinstance(metric, ClipMetric):
                    raise TypeError(f"expected ClipMetric, got {type(metric).__name__}")
                if metric.name in found or metric.name in SET_METRICS:
                    raise ValueError(f"there is a metric '{metric.name}' already")
                found[metric.name] = metric
        except BadInputError as error:
            warn_once(str(error))
        except (TypeError, ValueError) as error:
            warn_once(broken(point, error))
    return found


def all_metrics() -> dict[str, Metric]:
    """Metrics of sets, then of clips."""
    return {**SET_METRICS, **clip_metrics()}


def all_measures() -> dict[str, Measure]:
    """Everything that a table can hold a line for and `--metrics` takes: the gate, all metrics, the probes."""
    return {GATE.name: GATE, **all_metrics(), **PROBES}


def chosen(names: Sequence[str] | None, known: Mapping[str, Named]) -> list[Named]:
    """Those of `known` with these names, capitals ignored; None: all.

    Raises:
        BadInputError: no names, or a name that is not known.
    """
    if names is None:
        return list(known.values())
    by_name = {name.lower(): measure for name, measure in known.items()}
    for name in names or [""]:
        if name.lower() not in by_name:
            raise unknown_name("metric", name, known)
    return list({name.lower(): by_name[name.lower()] for name in names}.values())
