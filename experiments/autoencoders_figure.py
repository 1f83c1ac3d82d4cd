"""The figure of the study of autoencoders: a spectral distance beside the notes that keep their pitch, and all ways."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.results.rows import Row
from experiments.evaluate_codec import LSD, NOTES, SDR
from experiments.panels import headline, panels
from experiments.reconstructions import AUTOENCODER, GRIFFIN_LIM, PCA, RANDOM

ORIGINAL, DETUNED = "original", "detuned bass"


def autoencoders_figure(path: Path, rows: Sequence[Row]) -> None:
    """Left: notes kept against spectral distance for detuned basses and for what gives a bass back. Right: distances.

    Raises:
        BadInputError: the file cannot be written.
    """
    points = {(row.system, row.setting.get("cents"), row.metric): row for row in rows if row.setting["audio"] == "bass"}
    places = [(system, cents) for system, cents, metric in points if metric == LSD]
    with panels(path, (10.0, 4.2)) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.5, 1)})
        curve = sorted(cents for system, cents in places if system == DETUNED and cents is not None)
        left.plot(
            [points[DETUNED, cents, LSD].value for cents in curve],
            [points[DETUNED, cents, NOTES].value for cents in curve],
            "o-",
            color="C3",
            markersize=4,
            label="played again, detuned by so many cents",
        )
        for cents in curve:
            at = points[DETUNED, cents, LSD].value, points[DETUNED, cents, NOTES].value
            left.annotate(str(cents), at, (5, 4), textcoords="offset points", fontsize=7.5, color="C3")
        for number, name in enumerate(name for name, cents in places if name not in (DETUNED, ORIGINAL)):
            x, y = points[name, None, LSD], points[name, None, NOTES]
            left.errorbar(
                [x.value],
                [y.value],
                xerr=[[max(x.value - x.low, 0)], [max(x.high - x.value, 0)]],
                yerr=[[max(y.value - y.low, 0)], [max(y.high - y.value, 0)]],
                fmt="sD^vP"[number % 5],
                color=f"C{(0, 2, 4, 5, 7)[number % 5]}",
                markersize=6,
                linewidth=0.9,
                label=name,
            )
        left.set(xlabel="log-spectral distance from the original, dB", ylabel="share of notes that keep their pitch")
        left.set_ylim(-0.03, 1.08)
        left.legend(loc="best")
        headline(left, "A spectral distance does not see the pitch")
        names = [name for name in (AUTOENCODER, PCA, GRIFFIN_LIM, RANDOM) if (name, None, SDR) in points]
        for offset, audio in ((-0.2, "mix"), (0.2, "bass")):
            found = {row.system: row for row in rows if row.metric == LSD and row.setting["audio"] == audio}
            shown = [(i, found[name]) for i, name in enumerate(names) if name in found]
            right.barh(
                [i + offset for i, _ in shown],
                [row.value for _, row in shown],
                height=0.36,
                xerr=np.array([[max(r.value - r.low, 0), max(r.high - r.value, 0)] for _, r in shown]).T,
                color={"mix": "0.7", "bass": "C0"}[audio],
                error_kw={"linewidth": 0.9},
                label=audio,
            )
        right.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
        right.invert_yaxis()
        right.set_xlabel("log-spectral distance, dB")
        right.legend(loc="best")
        headline(right, "Reconstruction of mix and bass")
