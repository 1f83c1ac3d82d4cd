"""The match of a bass with its mix, as a metric of the suite (entry point in the group "bassbench.metrics")."""

import warnings

from bassbench.metrics.metric import ClipMetric, Scored
from contrastive.scoring import score


def match(scored: Scored) -> float:
    """Similarity of mix and bass by the shipped matcher, -1 to 1; -1 where one of them is silent.

    Raises:
        BadInputError: the clip is shorter than 5 s.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of silence, which the value tells
        return float(score([scored.clip.mix], [scored.bass])[0, 0])


METRICS = (ClipMetric("match", "", "higher", "bassbench's matching model, contrastive/MODEL_CARD.md", match),)
