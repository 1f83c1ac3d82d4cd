"""Towers, similarity and loss: shapes, gradients, identities, files."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import save_tensors
from contrastive.batch import Augmentation, augmented
from contrastive.config import MATCHERS, MatcherConfig
from contrastive.encoder import Matcher, network_input, similarity
from contrastive.loss import alike, info_nce

TINY = MATCHERS["tiny"].sizes
ROWS = TINY.features.view + TINY.features.upper_bands


def _views(count: int, frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, ROWS, frames), generator=generator, dtype=torch.uint8)


def test_a_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    matcher = Matcher(TINY)
    mix, bass, scale = matcher(network_input(_views(3, 40)), network_input(_views(6, 40, 1)))
    assert mix.shape == (3, TINY.dims, 20) and bass.shape == (6, TINY.dims, 20)
    losses = info_nce(similarity(mix, bass), scale, alike=torch.zeros(3, 6, dtype=torch.bool))
    sum(losses.values(), torch.zeros(())).backward()
    for name, parameter in matcher.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", MATCHERS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in Matcher(MATCHERS[name].sizes).parameters()) / 1e6
    assert count == pytest.approx({"tiny": 0.007, "small": 0.201, "paper": 2.84}[name], rel=0.03)


@pytest.mark.parametrize("frames", [1, 2, 7, 150])
def test_any_number_of_frames(frames: int) -> None:
    tower = Matcher(TINY).mix_tower.eval()
    assert tower(network_input(_views(2, frames))).shape == (2, TINY.dims, math.ceil(frames / 2))


def test_a_clip_does_not_depend_on_its_batch() -> None:
    tower = Matcher(TINY).bass_tower.eval()
    clips = network_input(_views(3, 31))
    with torch.no_grad():
        torch.testing.assert_close(tower(clips)[1:2], tower(clips[1:2]), rtol=1e-5, atol=1e-5)


def test_similarity_is_a_cosine_over_time() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 5, 9, generator=generator)
    scores = similarity(a, torch.cat([a * 3, -a]))
    torch.testing.assert_close(scores.diagonal(), torch.ones(4))
    torch.testing.assert_close(scores[:, 4:].diagonal(), -torch.ones(4))
    frames = torch.einsum("adt,bdt->abt", a, a).mean(2)
    size = a.square().sum(1).mean(1).sqrt()
    torch.testing.assert_close(similarity(a, a), frames / (size[:, None] * size))
    assert similarity(a, a.roll(3, dims=2)).diagonal().abs().max() < 0.8  # time counts


def test_loss_of_equal_similarities_is_the_log_of_the_choices() -> None:
    none = torch.zeros(4, 12, dtype=torch.bool)
    losses = info_nce(torch.zeros(4, 12), torch.tensor(10.0), alike=none)
    assert losses["find_bass"].item() == pytest.approx(math.log(12))
    assert losses["find_mix"].item() == pytest.approx(math.log(4))


def test_loss_equals_an_independent_computation() -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, (3, 6))
    losses = info_nce(torch.from_numpy(scores), torch.tensor(4.0), alike=torch.zeros(3, 6, dtype=torch.bool))
    powers = np.exp(4 * scores)
    rows = -np.log(np.diag(powers) / powers.sum(axis=1)).mean()
    columns = -np.log(np.diag(powers) / powers[:, :3].sum(axis=0)).mean()
    assert losses["find_bass"].item() == pytest.approx(rows, rel=1e-5)
    assert losses["find_mix"].item() == pytest.approx(columns, rel=1e-5)


def test_negatives_that_sound_the_same_are_left_out() -> None:
    basses = torch.randint(0, 256, (2, 10, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    basses = torch.cat([basses, basses[:1], basses[1:].roll(5, dims=2)])
    same = alike(basses, 2, threshold=0.9)
    assert same.tolist() == [[True, False, True, False], [False, True, False, False]]
    scores = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.0]])
    with_copy = info_nce(scores, torch.tensor(1.0), alike=torch.zeros_like(same))["find_bass"]
    without = info_nce(scores, torch.tensor(1.0), alike=same)["find_bass"]
    assert torch.isfinite(without) and without < with_copy
    with pytest.raises(ValueError, match="at least 3 basses"):
        info_nce(torch.zeros(3, 2), torch.tensor(1.0), alike=torch.zeros(3, 2, dtype=torch.bool))


def test_augmentation_is_drawn_from_the_generator_and_keeps_to_the_scale() -> None:
    mix, bass = _views(3, 30), _views(12, 30, 1)
    first = augmented(mix, bass, np.random.default_rng(0), Augmentation())
    again = augmented(mix, bass, np.random.default_rng(0), Augmentation())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], network_input(mix))
    assert all(bool(torch.isfinite(views).all()) and views.min() >= -1.75 for views in first)


def test_no_augmentation_changes_nothing() -> None:
    off = Augmentation(equaliser=0.0, gain=0.0, floor=(-500.0, -400.0), leaks=0.0)
    mix, bass = _views(2, 30), _views(2, 30, 1)
    changed = augmented(mix, bass, np.random.default_rng(0), off)
    torch.testing.assert_close(changed[0], network_input(mix))
    torch.testing.assert_close(changed[1], network_input(bass))


def test_leaks_come_from_another_pair() -> None:
    leaky = Augmentation(equaliser=0.0, gain=0.0, floor=(-500.0, -400.0), leak=(0.0, 0.0), leaks=1.0)
    mix = torch.stack([torch.full((ROWS, 8), 30 * (i + 1), dtype=torch.uint8) for i in range(3)])
    silent = torch.zeros(6, ROWS, 8, dtype=torch.uint8)
    for seed in range(5):
        _, bass = augmented(mix, silent, np.random.default_rng(seed), leaky)
        own = network_input(mix)[:, 0, 0]
        assert all(bass[i, 0, 0] != own[i % 3] and bass[i, 0, 0] > -1.7 for i in range(6))


def test_weights_survive_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    matcher = Matcher(TINY).eval()
    matcher.save_pretrained(tmp_path / "m.safetensors")
    back = Matcher.from_pretrained(tmp_path / "m.safetensors")
    assert back.config == TINY and not back.training
    seen = network_input(_views(1, 30))
    torch.testing.assert_close(back.mix_tower(seen), matcher.mix_tower(seen), rtol=0.02, atol=0.02)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(BadInputError, match="no such checkpoint"):
        Matcher.from_pretrained(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "unet", "config": {}})
    with pytest.raises(BadInputError, match="expected 'matcher'"):
        Matcher.from_pretrained(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "matcher", "config": {"width": 3}})
    with pytest.raises(BadInputError, match="configuration in the header"):
        Matcher.from_pretrained(path)
    Matcher(TINY).save_pretrained(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="not a readable"):
        Matcher.from_pretrained(path)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="window at least 5 s"):
        MatcherConfig(8, 1, 4, window=2.0)
