"""Which bass belongs to which mix?  The soft-assignment matrix (paper, section 5, Figure 3).

    python -m experiments.match_matrix

25 test mixes against 25 basses: the real ones, those that the reference model generated for the mixes with each weight
of guidance, and the real ones shuffled. Each row is a softmax of the matcher's similarities over the basses. Run it
again to go on where it was cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns

from bassbench.errors import BadInputError
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.results.rows import Row
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.suite.anchors import derangement
from contrastive.encoder import Matcher
from contrastive.scoring import WEIGHTS, score
from contrastive.validation import ranks
from experiments import studies
from experiments.figures import panels
from experiments.playing import generated
from experiments.studies import (
    NOT,
    NOT_MEASURED,
    PARTLY,
    REPRODUCED,
    Study,
    Verdict,
    WeightSettings,
    matcher_hash,
    with_interval,
)
from reference_model.pipeline import BassAccompaniment, Sampling

NAME = "match_matrix"
REAL, GENERATED, SHUFFLED = "real bass", "reference model", "real bass, shuffled"
SHARE, FOUND, P_VALUE = "diagonal share", "R@1", "p-value"
PERMUTATIONS = 10_000
_NOTES = """
Each row of a matrix is a softmax of one mix's similarities with all basses, divided by the temperature that the
matcher learned. "Diagonal share": mean of the diagonal (1 / clips by chance). "p-value": share of 10,000 random
pairings of mixes with basses, and the one at hand, whose diagonal share is at least as large. Brackets: 95 %
confidence interval, bootstrap over mixes.
"""


@dataclass(frozen=True, kw_only=True)
class MatchMatrix(WeightSettings):
    """Soft assignment of basses to mixes for real, generated and shuffled bass.

    Writes match_matrix.jsonl, .csv, .md, .png and the matrices in the folder match_matrix. A second run computes
    nothing twice.
    """

    clips: int = 25
    """Test songs."""
    matcher: Path = WEIGHTS
    """The matcher's weights."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if self.clips < 2:
            raise BadInputError("a matrix takes at least 2 in --clips")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        requests = clip_requests("test", self.clips)
        matcher = Matcher.from_pretrained(self.matcher)
        rows, matrices = study(self, self.model(), matcher, requests)
        matrix_figure(self.output / f"{NAME}.png", matrices)
        STUDY.report(rows, self.output)


def study(
    config: MatchMatrix, model: BassAccompaniment, matcher: Matcher, requests: list[ClipRequest]
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """All rows, the missing ones measured, and the matrices `(mixes, basses)` by system and guidance weight."""
    count = len(requests)
    protocol = {
        "matcher": matcher_hash(matcher),
        "songs": f"{count} test clips, {studies.clips_hash(requests)}",
        "permutations": PERMUTATIONS,
        "interval": "95 %, bootstrap over mixes",
    }
    measurements = studies.Measurements(NAME, count, config.seed, protocol)
    of_model = {"phi": config.phi, "steps": config.steps, "weights": model.version}
    cases: list[tuple[str, Sampling | None]] = [
        (REAL, None),
        *((GENERATED, one) for one in config.samplings),
        (SHUFFLED, None),
    ]
    tasks, files = [], {}
    for system, sampling in cases:
        setting: dict[str, Any] = {} if sampling is None else {"cfg": sampling.cfg, **of_model}
        wanted = measurements.of(system, setting, (SHARE, FOUND, P_VALUE))
        # The matrix is kept beside the rows, under the key of its first row.
        file = config.output / NAME / f"{wanted[0].key}.json"
        files[system if sampling is None else f"{system}, CFG {sampling.cfg:g}"] = file

        def measure(
            advance: studies.Advance, system: str = system, sampling: Sampling | None = sampling, file: Path = file
        ) -> Sequence[Interval]:
            clips = [cached_clip(request) for request in requests]
            basses = [clip.bass for clip in clips]
            if sampling is not None:
                basses = []
                for scored in generated(model, requests, sampling, seed=config.seed, batch_size=config.batch_size):
                    basses.append(scored.bass)
                    advance()
            elif system == SHUFFLED:
                partner = derangement(count, generator=np.random.default_rng(config.seed))
                basses = [basses[index] for index in partner]
            similarities = score([clip.mix for clip in clips], basses, matcher=matcher)
            matrix = soft_assignment(similarities, float(matcher.log_scale.exp().clamp(max=100.0)))
            studies.keep_values(file, np.round(matrix, 5).tolist())
            return matrix_scores(matrix, config.seed)

        tasks.append(studies.Task(wanted, measure))
    rows = measurements.rows(tasks, config.output, device=model.device)
    return rows, {name: np.array(studies.kept_values(path)) for name, path in files.items()}


def soft_assignment(similarities: np.ndarray, scale: float) -> np.ndarray:
    """Softmax over each row of `(mixes, basses)` similarities times `scale` (1 / temperature), float64."""
    logits = scale * similarities.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def matrix_scores(matrix: np.ndarray, seed: int) -> tuple[Interval, Interval, Interval]:
    """Diagonal share, recall at 1 and permutation p-value of a soft assignment `(clips, clips)`."""
    found = (ranks(matrix) == 1).astype(float)
    undefined = float("nan")
    return (
        mean_interval(np.diag(matrix), generator=np.random.default_rng(seed)),
        mean_interval(found, generator=np.random.default_rng(seed)),
        Interval(permutation_p(matrix, np.random.default_rng(seed)), undefined, undefined),
    )


def permutation_p(matrix: np.ndarray, generator: np.random.Generator, *, permutations: int = PERMUTATIONS) -> float:
    """Share of random pairings, and the one at hand, whose diagonal share is at least that of the one at hand."""
    count = len(matrix)
    observed = np.trace(matrix)
    orders = np.argsort(generator.random((permutations, count)), axis=1)
    drawn = matrix[np.arange(count), orders].sum(axis=1)
    return float((1 + (drawn >= observed - 1e-12).sum()) / (1 + permutations))


def matrix_figure(path: Path, matrices: dict[str, np.ndarray]) -> None:
    """Draw the matrices side by side on one colour scale; the file appears whole or not at all.

    Raises:
        BadInputError: the file cannot be written.
    """
    with panels(path, (2.9 * len(matrices) + 0.6, 3.2), grid=False) as figure:
        places = figure.subplots(1, len(matrices), squeeze=False)[0]
        image = None
        for axes, (name, matrix) in zip(places, matrices.items(), strict=True):
            image = axes.imshow(matrix, cmap=sns.color_palette("rocket", as_cmap=True), vmin=0.0, vmax=1.0)
            axes.set(title=name, xlabel="bass", xticks=[], yticks=[])
        places[0].set_ylabel("mix")
        assert image is not None
        figure.colorbar(image, ax=list(places), label="share of the mix's row", shrink=0.8)


def diagonal(rows: Sequence[Row]) -> Verdict:
    """Claim: the match matrix of generated bass is dominated by its diagonal; at the model's own weight of guidance.

    Reproduced if the interval of the diagonal's share lies above chance and the share above one half; partly if only
    above chance.
    """
    found = [row for row in rows if row.metric == "diagonal share" and row.system == "reference model"]
    if not found:
        return Verdict(NOT_MEASURED)
    row = min(found, key=lambda row: abs(row.setting["cfg"] - Sampling.cfg))
    numbers = f"diagonal share {with_interval(row)}, chance {1 / row.clips:.2f}"
    if not row.low > 1 / row.clips:
        return Verdict(NOT, numbers)
    return Verdict(REPRODUCED if row.value > 0.5 else PARTLY, numbers)


STUDY = Study(
    name=NAME,
    question="Match matrix",
    title="Which bass belongs to which mix?",
    default=MatchMatrix(),
    quick=MatchMatrix(clips=8, steps=12, cfg=(2.0,)),
    full=MatchMatrix(),
    columns=("cfg",),
    notes=_NOTES,
    claim="the diagonal dominates",
    verdict=diagonal,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
