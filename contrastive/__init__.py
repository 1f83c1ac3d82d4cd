"""Does this bass fit this mix?  A contrastive model of mixes and basses: `score(mixes, basses)` -> similarities."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrastive.encoder import Matcher
    from contrastive.scoring import score

__all__ = ["Matcher", "score"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for."""
    if name == "score":
        from contrastive.scoring import score

        return score
    if name == "Matcher":
        from contrastive.encoder import Matcher

        return Matcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
