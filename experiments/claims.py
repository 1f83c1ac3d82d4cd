"""The paper's claims held against our rows: reproduced, partly, or not, with the interval that says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bassbench.results.rows import Row
from experiments.studies import spoken
from reference_model.pipeline import Sampling

REPRODUCED, PARTLY, NOT = "reproduced", "partly", "not reproduced"
UNTESTED, NOT_MEASURED = "not measured by the paper", "no rows yet"


@dataclass(frozen=True)
class Verdict:
    """What our rows say of a claim: one of the words above, and the numbers."""

    word: str
    numbers: str = ""


Judge = Callable[[Sequence[Row]], Verdict]


def fewest_steps(rows: Sequence[Row]) -> Verdict:
    """Claim: FAD of unconditional samples against DDIM steps has its minimum at 64.

    Reproduced if 64 steps have the lowest FAD; partly if no other number is certainly lower, by the difference song by
    song (without such rows: by the interval of 64); not otherwise.
    """
    ours = [row for row in rows if "steps" in row.setting and row.system != "reference model, conditional"]
    found = {row.setting["steps"]: row for row in ours if row.metric == "FAD"}
    if 64 not in found or len(found) < 2:
        return Verdict(NOT_MEASURED)
    best, at_64 = min(found.values(), key=lambda row: row.value), found[64]
    numbers = f"lowest FAD {spoken(best)} at {best.setting['steps']} steps; {spoken(at_64)} at 64"
    if best is at_64:
        return Verdict(REPRODUCED, numbers)
    differences = {row.setting["steps"]: row for row in ours if row.metric == "FAD against 64 steps"}
    if not differences:
        return Verdict(PARTLY if at_64.low <= best.value else NOT, numbers)
    lower = sorted(steps for steps, row in differences.items() if row.high < 0)
    numbers += f", a difference of {spoken(differences[best.setting['steps']])} song by song"
    return Verdict(NOT if lower else PARTLY, numbers)


def rescale_helps(rows: Sequence[Row]) -> Verdict:
    """Claim: above a guidance weight of 2.5, FAD is lower with rescale than without.

    Of the rescale that helps at most weights. Reproduced if FAD, song by song, is certainly lower at every weight above
    2.5; partly if at some; not if at none. The paper prints c + lambda (u - c): if only the sign is a misprint, its 2.5
    is our w = 1 + lambda = 3.5, so what holds above that is said too. If lambda is the usual weight, it is our w = 2.5.
    """
    above = [row for row in rows if row.metric == "FAD gained by rescale" and row.setting["cfg"] > 2.5]
    if not above:
        return Verdict(NOT_MEASURED)

    def helped(phi: float) -> list[Row]:
        return [row for row in above if row.setting["phi"] == phi and row.high < 0]

    phi = max(sorted({row.setting["phi"] for row in above}), key=lambda phi: len(helped(phi)))
    tried = sorted(row.setting["cfg"] for row in above if row.setting["phi"] == phi)
    strongest = min((row for row in above if row.setting["phi"] == phi), key=lambda row: row.value)
    beyond = sum(row.setting["cfg"] > 3.5 for row in helped(phi)), sum(weight > 3.5 for weight in tried)
    numbers = (
        f"phi {phi:g}: FAD certainly lower at {len(helped(phi))} of {len(tried)} weights above 2.5, changed by "
        f"{spoken(strongest)} at {strongest.setting['cfg']:g}; at {beyond[0]} of {beyond[1]} above 3.5, the paper's "
        "2.5 if only the sign of its equation is a misprint"
    )
    return Verdict(REPRODUCED if len(helped(phi)) == len(tried) else PARTLY if helped(phi) else NOT, numbers)


def closer_to_the_style(rows: Sequence[Row]) -> Verdict:
    """Claim: grounded over ungrounded distance to the style is 0.269 / 0.644 (cosine) and 0.407 / 0.836 (Euclidean).

    At the paper's strength 1 and exponent 2. Reproduced if both of our ratios are at most the paper's; partly if both
    intervals lie below 1.
    """
    paper = {"cosine ratio": 0.269 / 0.644, "Euclidean ratio": 0.407 / 0.836}
    like_the_paper = [row for row in rows if (row.setting.get("strength"), row.setting.get("exponent")) == (1, 2)]
    best = {row.metric: row for row in like_the_paper if row.metric in paper}
    if len(best) < len(paper):
        return Verdict(NOT_MEASURED)
    numbers = "; ".join(f"{name} {spoken(row)}, the paper's {paper[name]:.2f}" for name, row in best.items())
    if all(row.value <= paper[name] for name, row in best.items()):
        return Verdict(REPRODUCED, numbers)
    return Verdict(PARTLY if all(row.high < 1 for row in best.values()) else NOT, numbers)


def diagonal(rows: Sequence[Row]) -> Verdict:
    """Claim: the match matrix of generated bass is dominated by its diagonal; at the model's own weight of guidance.

    Reproduced if the interval of the diagonal's share lies above chance and the share above one half; partly if only
    above chance.
    """
    found = [row for row in rows if row.metric == "diagonal share" and row.system == "reference model"]
    if not found:
        return Verdict(NOT_MEASURED)
    row = min(found, key=lambda row: abs(row.setting["cfg"] - Sampling.cfg))
    numbers = f"diagonal share {spoken(row)}, chance {1 / row.clips:.2f}"
    if not row.low > 1 / row.clips:
        return Verdict(NOT, numbers)
    return Verdict(REPRODUCED if row.value > 0.5 else PARTLY, numbers)


def any_length(rows: Sequence[Row]) -> Verdict:
    """Claim: with the dynamic positional bias the model plays at lengths that it has not been trained on.

    Held against the change of the chord-tone share from the length of training to the longest. Reproduced if the
    shipped model certainly loses less than 0.1; partly if it may lose more, but the short training with the bias
    certainly loses less than that with absolute positions; not otherwise.
    """
    changes = [row for row in rows if row.metric == "change of chord-tone share"]
    longest = max((row.setting["frames"] for row in changes), default=0)
    found = {row.system: row for row in changes if row.setting["frames"] == longest}
    shipped = next((row for system, row in found.items() if system == "shipped, dynamic bias"), None)
    if shipped is None:
        return Verdict(NOT_MEASURED)
    numbers = f"chord-tone share changes by {spoken(shipped)} up to {longest} frames"
    biased, absolute = (found.get(f"short training, {name}") for name in ("dynamic bias", "absolute positions"))
    if biased is not None and absolute is not None:
        numbers += f"; trained alike, by {spoken(biased)} with the bias and {spoken(absolute)} with absolute positions"
    if shipped.low > -0.1:
        return Verdict(REPRODUCED, numbers)
    better = biased is not None and absolute is not None and biased.low > absolute.high
    return Verdict(PARTLY if better else NOT, numbers)


def not_in_the_paper(rows: Sequence[Row]) -> Verdict:
    """A question that the paper does not ask."""
    return Verdict(UNTESTED if rows else NOT_MEASURED)
