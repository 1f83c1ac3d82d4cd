"""`bassbench list`: the systems, metrics, embedders and datasets at hand, plug-ins among them.

Each list imports what it names, so that none waits for what only another needs.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint
from typing import Annotated

import pandas as pd
import tyro

from bassbench.errors import BadInputError, unknown_name
from bassbench.plugins import DATASETS, SYSTEMS, load_plugin, plugins
from bassbench.plugins import EMBEDDERS as EMBEDDER_PLUGINS
from bassbench.results.table import terminal

_KINDS = "all|systems|metrics|embedders|datasets"


@dataclasses.dataclass(frozen=True)
class List:
    """List what can be scored, measured and used: systems, metrics, embedders, datasets."""

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar=_KINDS)] = "all"
    """all, systems, metrics, embedders or datasets."""

    def run(self) -> None:
        """Print the lists.

        Raises:
            BadInputError: an unknown kind.
        """
        if self.what not in ("all", *LISTS):
            raise unknown_name("list of", self.what, ("all", *LISTS))
        chosen = LISTS if self.what == "all" else {self.what: LISTS[self.what]}
        print("\n\n".join(f"{name.upper()}\n{terminal(make())}" for name, make in chosen.items()))


def systems() -> pd.DataFrame:
    """Names for `bassbench run`."""
    from bassbench.suite.baselines import BASELINES

    lines = [(name, _purpose(make)) for name, make in BASELINES.items()]
    lines += [(name, _loaded(point, _purpose)) for name, point in plugins(SYSTEMS).items()]
    lines.append(("package.module:Class", "Any class of yours, also as file.py:Class."))
    return _frame(lines, "system", "what it does")


def metrics() -> pd.DataFrame:
    """Names for `--metrics`."""
    from bassbench.metrics.registry import all_measures
    from bassbench.metrics.sets import SetMetric

    lines = []
    for metric in all_measures().values():
        kind = "sets" if isinstance(metric, SetMetric) else "clips"
        better = "as real" if metric.direction == "real" else metric.direction
        lines.append((metric.name, kind, better, metric.unit, metric.citation))
    return pd.DataFrame(lines, columns=["metric", "of", "better", "unit", "source"])


def embedders() -> pd.DataFrame:
    """Names for `--embedder`."""
    from bassbench.embedders import fadtk
    from bassbench.embedders.registry import EMBEDDERS

    lines = [(name, f"{EMBEDDERS[name].dim} dimensions, built in") for name in EMBEDDERS]
    for name, point in plugins(EMBEDDER_PLUGINS).items():
        lines.append((name, _loaded(point, partial(_dimensions, name))))
    for name, model in fadtk.FADTK_MODELS.items():
        if model.arguments.get("layer") and name.endswith(f"-{model.arguments['layer']}"):
            continue  # one layer of a model that is listed
        here = any(path.exists() for path in model.files())
        where = "at hand" if here else f"download of {model.megabytes} MB"
        where = where if fadtk.installed() else fadtk.INSTALL
        lines.append((fadtk.PREFIX + name, f"{model.dim} dimensions, {where}"))
    lines.append((fadtk.PREFIX + "NAME-N", "layer N of MERT, w2v2, hubert or wavlm instead of its last"))
    return _frame(lines, "embedder", "what it is")


def datasets() -> pd.DataFrame:
    """Names for `--data`."""
    from bassbench.songs.song_bank import SPLITS, load_songs
    from bassbench.suite.clip_set import BANK_SPLITS

    lines = [
        (name, f"song bank, {len(load_songs(name))} songs" if name in SPLITS else "test split, other SoundFont")
        for name in BANK_SPLITS
    ]
    lines += [(name, _loaded(point, _purpose)) for name, point in plugins(DATASETS).items()]
    lines.append(("FOLDER", "stems in the layout of MUSDB18-HQ, MoisesDB, Slakh2100, MedleyDB, or TRACK/stem.wav"))
    return _frame(lines, "data", "what it is")


LISTS: dict[str, Callable[[], pd.DataFrame]] = {
    "systems": systems,
    "metrics": metrics,
    "embedders": embedders,
    "datasets": datasets,
}


def _loaded(point: EntryPoint, describe: Callable[[object], str]) -> str:
    try:
        return describe(load_plugin(point))
    except BadInputError as error:
        return f"BROKEN: {error}"


def _dimensions(name: str, thing: object) -> str:
    from bassbench.embedders.registry import find_embedder

    return f"{find_embedder(name).dim} dimensions, plug-in"


def _purpose(thing: object) -> str:
    return ((getattr(thing, "__doc__", None) or "").strip().splitlines() or [""])[0]


def _frame(lines: list[tuple[str, str]], name: str, about: str) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=[name, about])
