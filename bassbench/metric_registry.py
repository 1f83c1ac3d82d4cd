"""All metrics by name: those of `bassbench.metrics`, those of sets, and what installed plug-ins add."""

import functools
import importlib
import pkgutil
from collections.abc import Sequence

from bassbench import metrics
from bassbench.bad_input import BadInputError
from bassbench.metric import ClipMetric
from bassbench.plugins import METRICS, broken, load_plugin, plugins, warn_once
from bassbench.set_metrics import SET_METRICS, SetMetric

Metric = ClipMetric | SetMetric


@functools.cache
def clip_metrics() -> dict[str, ClipMetric]:
    """Metrics of single clips by name: each module's `METRICS`, then plug-ins; a broken plug-in is warned of."""
    found: dict[str, ClipMetric] = {}
    for module in sorted(pkgutil.iter_modules(metrics.__path__), key=lambda module: module.name):
        for metric in getattr(importlib.import_module(f"bassbench.metrics.{module.name}"), "METRICS", ()):
            found[metric.name] = metric
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


def chosen_metrics(names: Sequence[str] | None) -> list[Metric]:
    """Metrics by name, capitals ignored; None: all.

    Raises:
        BadInputError: a name that no metric has.
    """
    known = all_metrics()
    if names is None:
        return list(known.values())
    by_name = {name.lower(): metric for name, metric in known.items()}
    unknown = [name for name in names if name.lower() not in by_name]
    if unknown or not names:
        raise BadInputError(f"no metric '{', '.join(unknown)}'; choose from {', '.join(known)}")
    return list({name.lower(): by_name[name.lower()] for name in names}.values())
