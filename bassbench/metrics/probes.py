"""Did it listen?  The numbers of a clip for which a system has to play again, for an altered mix.

A system that listens plays something else for another mix, and what it then plays fits the true mix less well. The
seed stays the same, so a system that only follows its seed changes nothing. (A system that draws anew at every call
changes without listening: the match drop tells.)
"""

from dataclasses import dataclass

CLIPS = 8
"""Probing plays each clip three times more, so a few stand for all."""
MATCH = "match"
WAYS = ("swapped", "muted", "shifted")


@dataclass(frozen=True)
class Probe:
    """One number of one clip for which a system has to play again; otherwise as `ClipMetric`."""

    name: str
    unit: str
    direction: str
    citation: str
    way: str
    version: int = 1

    @property
    def by_match(self) -> bool:
        """Whether it is a difference of the match metric."""
        return self is _DROP[self.way]


_CHANGE = {
    way: Probe(f"output change (mix {way})", "dB", "higher", "log-spectral distance of outputs", way) for way in WAYS
}
_DROP = {way: Probe(f"match drop (mix {way})", "", "higher", "difference of the match metric", way) for way in WAYS}
PROBES: dict[str, Probe] = {probe.name: probe for way in WAYS for probe in (_CHANGE[way], _DROP[way])}
