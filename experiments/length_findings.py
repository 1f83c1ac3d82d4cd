"""What the study of lengths found, in words and as a verdict, from its rows."""

from collections.abc import Sequence

from bassbench.results.rows import Row
from bassbench.suite.anchors import OTHER, REAL
from experiments.studies import spoken

_CHORDS, _MATCH = "chord-tone share", "match score"
_CHANGE = {_CHORDS: "change of chord-tone share", _MATCH: "change of match score"}


def findings(rows: Sequence[Row]) -> str:
    """What the paper says and what these rows say, in words."""
    longest = max(row.setting["frames"] for row in rows if "frames" in row.setting)
    said = [
        "The paper's dynamic positional bias is to let the model play at any length; it measures none beyond that of "
        "its training."
    ]
    for row in _changes(rows, longest):
        at_home, at_longest = _whole(rows, row.system, home=True), _whole(rows, row.system, home=False)
        match = next(r for r in rows if _is(r, row.system, _CHANGE[_MATCH], longest))
        said.append(
            f'From {at_home.setting["frames"]} to {longest} frames the chord-tone share of "{row.system}" goes from '
            f"{at_home.value:.2f} to {at_longest.value:.2f} (change {spoken(row)}), its match score changes by "
            f"{spoken(match)}."
        )
    real, other = (next(r for r in rows if r.system == name and r.metric == _CHORDS) for name in (REAL, OTHER))
    said.append(f"Real bass has a chord-tone share of {spoken(real)}, the bass of another song {spoken(other)}.")
    said.append(
        "Reasons to differ: the medleys change song every 24 s, so that there is more to look away from in a long one "
        "than in a long song; attention sees the coarsest resolutions alone, and what the convolutions hear around a "
        "frame needs no positions; and the short trainings have learnt little to lose."
    )
    return " ".join(said)


def _changes(rows: Sequence[Row], longest: int) -> list[Row]:
    return [row for row in rows if row.metric == _CHANGE[_CHORDS] and row.setting["frames"] == longest]


def _is(row: Row, system: str, metric: str, frames: int) -> bool:
    return (row.system, row.metric, row.setting.get("frames")) == (system, metric, frames) and "from" not in row.setting


def _whole(rows: Sequence[Row], system: str, *, home: bool) -> Row:
    """The chord-tone share over whole medleys: of the training's length, which has no change, or of the longest."""
    own = [r for r in rows if r.system == system and r.metric == _CHORDS and "from" not in r.setting]
    changed = {r.setting["frames"] for r in rows if r.system == system and r.metric == _CHANGE[_CHORDS]}
    if home:
        return next(row for row in own if row.setting["frames"] not in changed)
    return max(own, key=lambda row: row.setting["frames"])
