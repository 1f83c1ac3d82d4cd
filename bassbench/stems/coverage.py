"""Which tracks of a dataset are not used, and why: said in one line, never passed over in silence."""

from dataclasses import dataclass, field

from bassbench.stems.layouts import StemDataset
from bassbench.stems.track import BASS

_SHOWN = 3


@dataclass
class Coverage:
    """Tracks in all, and the reason for each that is left out, by name; what goes through the tracks adds to it."""

    total: int
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: StemDataset) -> "Coverage":
        """What of a dataset is left out before any audio is read: tracks that cannot be listed."""
        total = len(dataset) + len(dataset.unlisted)
        names = [place.relative_to(dataset.path).as_posix() for place in dataset.unlisted]
        return cls(total, dict(zip(names, dataset.problems, strict=True)))

    @classmethod
    def of_pairs(cls, dataset: StemDataset) -> "Coverage":
        """As `of`, and the tracks that are no pair of mix and bass."""
        coverage = cls.of(dataset)
        for track in dataset.tracks:
            if not track.is_pair:
                why = "no mix without the bass" if BASS in track.stems else "no bass"
                coverage.left_out[track.name] = "; ".join([why, *track.notes])
        return coverage

    def __str__(self) -> str:
        """ "2 of 5 tracks left out: a, b (no bass)"; "" where all are used."""
        if not self.left_out:
            return ""
        names: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names.setdefault(reason, []).append(name)
        each = [f"{_some(its)} ({reason})" for reason, its in names.items()]
        return f"{len(self.left_out)} of {self.total} tracks left out: {_some(each, '; ')}"


def _some(names: list[str], comma: str = ", ") -> str:
    more = len(names) - _SHOWN
    return comma.join(names[:_SHOWN]) + (f"{comma}{more} more" if more > 0 else "")
