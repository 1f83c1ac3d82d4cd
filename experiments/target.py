"""The targets of the reference model: what is asked of each number, and the table and report of what was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bassbench.files import write_text
from bassbench.results.rows import Row, write_csv
from bassbench.results.table import interval_text, markdown, terminal
from bassbench.songs.clips import UNSEEN_FONT
from bassbench.suite.anchors import OTHER, REAL
from experiments import evaluate_bass as bass
from experiments import evaluate_codec as codec
from experiments import studies
from experiments.evaluate_bass import OWN, RATIO

NAME = "targets"
CODEC, LINEAR, PROGRAM = "bass autoencoder", "its linear path alone", "bass by another program"
FAD, CODEC_RATIO, OWN_RATIO = "FAD", "FAD against another program's", "FAD against the codec ceiling's"
CHROMA, CHORD_ROOT = "chroma AUC of mix latents", "chord root accuracy of mix latents"


@dataclass(frozen=True)
class Target:
    """What is asked of one number: the row it is in, and the values that meet it."""

    metric: str
    system: str
    asked: str
    met: Callable[[float], bool] | None
    splits: tuple[str, ...] = ("test", "human")
    """Where it is shown; it is asked on the test split, `bass.LISTENS` on "human"."""
    beside: tuple[str, ...] = ()
    """Systems whose number of the same metric stands beside."""


_CODEC_SPLITS = ("test", "human", UNSEEN_FONT)


def _codec(metric: str, asked: str = "-", met: Callable[[float], bool] | None = None) -> Target:
    return Target(metric, CODEC, asked, met, _CODEC_SPLITS, (LINEAR,))


def _bass(metric: str, asked: str = "-", met: Callable[[float], bool] | None = None) -> Target:
    return Target(metric, OWN, asked, met, beside=(REAL, OTHER))


TARGETS = (
    _codec(codec.ALL_NOTES, ">= 0.97", lambda value: value >= 0.97),
    _codec(codec.NOTES),
    _codec(codec.LEVEL, "<= 1 dB", lambda value: value <= 1),
    _codec(codec.LSD, "<= 2.5 dB", lambda value: value <= 2.5),
    _codec(codec.STFT),
    _codec(codec.MEL),
    _codec(codec.SDR),
    _codec(codec.WIDTH),
    Target(FAD, CODEC, "-", None, _CODEC_SPLITS, (LINEAR, PROGRAM)),
    _codec(CODEC_RATIO, "<= 0.25", lambda value: value <= 0.25),
    Target(CHROMA, OWN, ">= 0.97", lambda value: value >= 0.97, ("test",)),
    Target(CHORD_ROOT, OWN, ">= 0.85", lambda value: value >= 0.85, ("test",)),
    _bass(bass.CHORD + RATIO, ">= 0.97", lambda value: value >= 0.97),
    Target(bass.CHORD, OWN, "-", None, beside=(REAL, OTHER, bass.SWAPPED)),
    Target(bass.SWAPPED, OWN, "within 0.05", lambda value: abs(value) <= 0.05),
    _bass(bass.ROOT + RATIO, ">= 0.9", lambda value: value >= 0.9),
    _bass(bass.CORRELATION, ">= 0.45", lambda value: value >= 0.45),
    _bass(bass.GRID, ">= 0.8", lambda value: value >= 0.8),
    _bass(bass.VOICED + RATIO, "0.8 to 1.2", lambda value: 0.8 <= value <= 1.2),
    _bass(bass.LOUDNESS, "within 3 dB", lambda value: abs(value) <= 3),
    _bass(bass.COLLAPSED, "0", lambda value: value == 0),
    _bass(bass.LISTENS, ">= 0.8", lambda value: value >= 0.8),
    Target(bass.SOUNDING, OWN, "-", None, beside=(REAL, OTHER, bass.SWAPPED)),
    Target(bass.GROUNDED + " against style clip", OWN, ">= 0.8", lambda value: value >= 0.8, ("test",)),
    Target(bass.GROUNDED, OWN, "-", None, ("test",), (bass.STYLE, bass.CODED_STYLE)),
    Target(OWN_RATIO, OWN, "<= 1.5", lambda value: value <= 1.5, ("test",)),
)


def target_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a target and split: what is asked, what was measured, whether it is met, and what stands beside it."""
    found = {(row.setting["split"], row.system, row.metric): row for row in rows}
    lines = []
    for target in TARGETS:
        for split in target.splits:
            row = found.get((split, target.system, target.metric))
            if row is None or np.isnan(row.value):
                continue
            beside = [(name, found.get((split, name, target.metric))) for name in target.beside]
            asked = split == ("human" if target.metric == bass.LISTENS else "test")
            met = ("yes" if target.met(row.value) else "NO") if target.met and asked else ""
            lines.append(
                {
                    "target": target.metric,
                    "split": split,
                    "asked": target.asked if asked else "-",
                    "measured": interval_text(row.value, row.low, row.high),
                    "met": met,
                    "beside": "; ".join(f"{name} {interval_text(r.value, np.nan, np.nan)}" for name, r in beside if r),
                    "clips": str(row.clips),
                }
            )
    return pd.DataFrame(lines)


def write_report(rows: Sequence[Row], folder: Path) -> None:
    """Print the table; write it as targets.md with the protocol card, and the rows as targets.csv.

    Raises:
        BadInputError: a file cannot be written.
    """
    frame = target_table(rows)
    title = "Targets of the reference model"
    print(f"\n{title}\n\n{terminal(frame)}\n")
    text = f"# {title}\n\n{markdown(frame)}\n{codec.__doc__}\n{studies.protocol_card(rows)}"
    write_text(folder / f"{NAME}.md", text)
    write_csv(rows, folder / f"{NAME}.csv")
