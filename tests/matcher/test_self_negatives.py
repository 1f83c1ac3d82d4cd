"""Damaged forms of a pair's own bass, made from its embedding, agree with damaging its features."""

import numpy as np
import torch

from contrastive.config import MATCHERS
from contrastive.encoder import STRIDE, Matcher, network_input, similarity
from contrastive.loss import STEPS, info_nce, shifted_alike, shifted_similarity, transposed_similarity

FEATURES = MATCHERS["tiny"].sizes.features
BINS = FEATURES.bins_per_semitone


def _lines(count: int, frames: int, seed: int = 0, room: int = 0) -> torch.Tensor:
    """Views `(count, rows, frames)` of single notes, away from the ends of the pitch axis and of an octave."""
    generator = np.random.default_rng(seed)
    views = np.zeros((count, FEATURES.view + FEATURES.upper_bands, frames), np.uint8)
    for line in views:
        for start in range(0, frames, 8):
            row = BINS * (24 + int(generator.integers(0, 12 - room)))
            line[row : row + BINS, start : start + 6] = generator.integers(120, 220)
    return torch.from_numpy(views)


def test_a_transposed_clip_turns_its_embedding() -> None:
    torch.manual_seed(0)
    tower = Matcher(MATCHERS["tiny"].sizes).bass_tower.eval()
    line = _lines(2, 80, room=5)  # transposed by 5 it stays in its octave
    higher = torch.cat([line[:, : FEATURES.view].roll(5 * BINS, dims=1), line[:, FEATURES.view :]], dim=1)
    with torch.no_grad():
        embedding, moved = tower(network_input(line)), tower(network_input(higher))
    turned = embedding.unflatten(1, (-1, 12)).roll(5, dims=2).flatten(1, 2)
    torch.testing.assert_close(moved, turned, rtol=1e-4, atol=1e-5)
    assert (moved - embedding).abs().max() > 0.01


def test_transposed_similarity_is_that_of_the_turned_bass() -> None:
    generator = torch.Generator().manual_seed(0)
    mix, bass = torch.randn(3, 24, 9, generator=generator), torch.randn(3, 24, 9, generator=generator)
    found = transposed_similarity(mix, bass)
    for step in range(1, 12):
        turned = bass.unflatten(1, (-1, 12)).roll(step, dims=2).flatten(1, 2)
        torch.testing.assert_close(found[:, step - 1], similarity(mix, turned).diagonal())


def test_shifted_similarity_compares_what_both_have() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(2, 24, 60, generator=generator)
    late = torch.cat([torch.randn(2, 24, 5, generator=generator), mix[:, :, :-5]], dim=2)
    # The bass is the mix five frames late: five frames early it fits.
    best = shifted_similarity(mix, late).argmax(dim=1)
    assert [STEPS[index] for index in best] == [-5, -5]
    torch.testing.assert_close(shifted_similarity(mix, late)[:, STEPS.index(-5)], torch.ones(2))


def test_a_repeating_line_is_alike_when_shifted_by_its_period() -> None:
    period = STRIDE * 6
    pattern = _lines(1, period)[0]
    repeating, other = pattern.repeat(1, 10), _lines(1, 10 * period, seed=3)[0]
    same = shifted_alike(torch.stack([repeating, other]), threshold=0.9)
    assert same[0, STEPS.index(6)] and same[0, STEPS.index(-12)] and not same[0, STEPS.index(4)]
    assert not same[1].any()


def test_hard_negatives_raise_the_loss_unless_they_are_alike() -> None:
    scores, hard = torch.eye(3), torch.full((3, 2), 2.0)
    none, scale = torch.zeros(3, 3, dtype=torch.bool), torch.tensor(5.0)
    plain = info_nce(scores, scale, alike=none)
    harder = info_nce(scores, scale, alike=none, hard=hard)
    masked = info_nce(scores, scale, alike=none, hard=hard, hard_alike=torch.ones(3, 2, dtype=torch.bool))
    assert harder["find_bass"] > plain["find_bass"] + 1
    torch.testing.assert_close(masked["find_bass"], plain["find_bass"])
    torch.testing.assert_close(harder["find_mix"], plain["find_mix"])
