"""The trainer on tiny sizes: it learns, resumes to the same trace, names bad input, trains the paper's layout too."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bassbench.errors import BadInputError
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec_probes import level_error, pitch_kept, pitch_track
from reference_model.losses import MSSD_HOPS, Objective, weighted_sum
from reference_model.presets import PRESETS, R_TIME, Stage
from reference_model.train_autoencoder import (
    AutoencoderTraining,
    TrainAutoencoder,
    check,
    crop,
    dry_run,
    train,
    with_decoder_of,
)


def bass_clips(count: int, seed: int = 0) -> list[np.ndarray]:
    """Decaying harmonic notes as 16-bit clips of 3 s."""
    generator, time = np.random.default_rng(seed), np.arange(R_TIME * 4) / 44_100
    clips = []
    for _ in range(count):
        f0s = 55 * 2 ** (generator.integers(0, 24, 8) / 12)
        notes = [sum(np.sin(2 * np.pi * k * f0 * time) / k for k in range(1, 5)) * np.exp(-4 * time) for f0 in f0s]
        mono = 6000 * np.concatenate(notes)
        clips.append(np.stack([mono, 0.7 * mono]).astype(np.int16))
    return clips


CLIPS = bass_clips(4)


def settings(run: Path, **changes) -> TrainAutoencoder:
    defaults = {"which": "bass", "run": run, "preset": "tiny", "steps": 12, "crop_frames": 8, "fit_frames": 600}
    return TrainAutoencoder(**{**defaults, "log_every": 1, "checkpoint_every": 4, **changes})


def losses(run: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


_learn = AutoencoderTraining.learn


def interrupted_at_7(training: AutoencoderTraining, drawn: list):
    if training.state.step == 7:
        raise KeyboardInterrupt
    return _learn(training, drawn)


def test_training_lowers_the_loss_and_writes_weights(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(settings(run, steps=40, learning_rate=3e-3), CLIPS, CLIPS[:2])
    trace = losses(run)
    assert trace[40] < 0.9 * trace[1]
    loaded, linear = (Autoencoder.from_pretrained(run / f"{name}.safetensors") for name in ("weights", "pca"))
    audio = torch.from_numpy(CLIPS[0] / 32767).float()[None]
    # The small presets' encoder is the linear path alone: latents can be used before the decoder is trained.
    assert torch.equal(codec.encode(loaded, audio), codec.encode(linear, audio))
    assert not torch.equal(
        codec.decode(loaded, codec.encode(loaded, audio)), codec.decode(linear, codec.encode(linear, audio))
    )


def test_an_interrupted_run_resumes_to_the_same_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"adversarial_start": 3}
    train(settings(tmp_path / "whole", **changes), CLIPS, CLIPS[:1])

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AutoencoderTraining, "learn", interrupted_at_7)
        train(settings(tmp_path / "parts", **changes), CLIPS, CLIPS[:1])
    train(settings(tmp_path / "parts", **changes), CLIPS, CLIPS[:1])
    whole, parts = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(parts[step] == pytest.approx(whole[step], rel=1e-5) for step in whole)
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    train(settings(tmp_path, steps=4), CLIPS, CLIPS[:1])
    before = (tmp_path / "log.jsonl").read_text()
    train(settings(tmp_path, steps=4), CLIPS, CLIPS[:1])
    assert (tmp_path / "log.jsonl").read_text() == before


def test_accumulated_micro_batches_give_the_same_trace(tmp_path: Path) -> None:
    for count in (1, 2):
        run = settings(tmp_path / str(count), batch_size=4, adversarial_start=3, accumulate=count, precision="no")
        train(run, CLIPS, CLIPS[:1])
    whole, parts = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert whole.keys() == parts.keys() and len(whole) == 12
    assert all(parts[step] == pytest.approx(whole[step], rel=1e-4) for step in whole)
    with pytest.raises(BadInputError, match="multiple of 3"):
        train(settings(tmp_path / "3", batch_size=4, accumulate=3), CLIPS, CLIPS[:1])


def test_averaged_weights_are_shipped_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    averaged = {"ema": 0.9, "precision": "no"}
    last = train(settings(tmp_path / "last", precision="no"), CLIPS, CLIPS[:1])
    whole = train(settings(tmp_path / "whole", **averaged), CLIPS, CLIPS[:1])
    assert losses(tmp_path / "last") == losses(tmp_path / "whole")  # the steps themselves are the same
    pairs = list(zip(last.decoder.parameters(), whole.decoder.parameters(), strict=True))
    assert any(not torch.equal(one, other) for one, other in pairs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AutoencoderTraining, "learn", interrupted_at_7)
        train(settings(tmp_path / "parts", **averaged), CLIPS, CLIPS[:1])
    train(settings(tmp_path / "parts", **averaged), CLIPS, CLIPS[:1])
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 0}, "--accumulate takes 1 to"),
        ({"ema": 1.0}, "--ema takes 0 to 0.999999"),
        ({"linear_path": False}, "cannot be so: an autoencoder needs a linear path"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        check(settings(tmp_path, **changes))


def test_a_dry_run_tells_what_the_preset_fills_in(tmp_path: Path) -> None:
    told = json.loads(dry_run(settings(tmp_path / "run", preset="paper", steps=None, linear_path=True)))
    assert told["config"]["steps"] == 500_000 and told["config"]["batch_size"] == 32
    assert told["config"]["autoencoder"]["linear_path"] is True and told["config"]["autoencoder"]["hop"] == 256
    assert told["parameters"]["autoencoder"] == pytest.approx(37e6, rel=0.03) and told["parameters"]["critics"] > 0
    assert not (tmp_path / "run").exists()


def test_the_papers_layout_starts_from_a_pca_when_asked(tmp_path: Path) -> None:
    stages = (Stage(2, 8, 1), Stage(2, 8, 1), Stage(2, 12, 1), Stage(2, 12, 1))
    config = dataclasses.replace(
        PRESETS["paper"].autoencoders["bass"], dims=4, encoder=stages, decoder=stages, top_hz=1_000.0
    )
    variant = dataclasses.replace(PRESETS["paper"], autoencoders={"bass": config})
    first = {}
    for linear_path in (None, True):
        run = settings(tmp_path / str(linear_path), preset="paper", batch_size=2, linear_path=linear_path)
        training = AutoencoderTraining(dataclasses.replace(run, variant=variant), CLIPS, CLIPS[:1])
        first[linear_path], _ = training.learn(training.draw(0))
    assert first[True]["reconstruction"] < 0.8 * first[None]["reconstruction"]
    assert (tmp_path / "True/pca.safetensors").exists() and not (tmp_path / "None/pca.safetensors").exists()


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(settings(tmp_path, steps=4), CLIPS, CLIPS[:1])
    with pytest.raises(BadInputError, match="other settings"):
        train(settings(tmp_path, steps=5), CLIPS, CLIPS[:1])
    with pytest.raises(BadInputError, match="another configuration"):
        train(settings(tmp_path, which="mix"), CLIPS, CLIPS[:1])
    with pytest.raises(BadInputError, match="no preset"):
        train(settings(tmp_path, preset="huge"), CLIPS, CLIPS[:1])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = settings(tmp_path)
    training = AutoencoderTraining(run, CLIPS, CLIPS[:1])
    next(training.autoencoder.decoder.parameters()).data.fill_(float("nan"))
    with pytest.raises(BadInputError, match="not finite"):
        training.fit()
    assert not training.run.checkpoint.exists()


def test_the_papers_layout_trains_with_its_own_losses(tmp_path: Path) -> None:
    stages = (Stage(2, 8, 1), Stage(2, 8, 1), Stage(2, 12, 1), Stage(2, 12, 1))
    config = dataclasses.replace(PRESETS["paper"].autoencoders["bass"], dims=4, encoder=stages, decoder=stages)
    recipe = dataclasses.replace(PRESETS["paper"].autoencoder_recipe, batch_size=2)
    variant = dataclasses.replace(PRESETS["paper"], autoencoders={"bass": config}, autoencoder_recipe=recipe)
    run = settings(tmp_path, preset="paper", variant=variant, steps=2, batch_size=None)
    training = AutoencoderTraining(run, CLIPS, CLIPS[:1])
    row, names = training.learn(training.draw(0))
    assert len(names) == 2
    assert {"reconstruction", "mssd", "adversarial", "critic"} <= row.keys()
    expected = 25 * row["reconstruction"] + 0.002 * row["mssd"] + row["adversarial"]
    assert float(row["loss"]) == pytest.approx(float(expected), rel=1e-4)
    assert not (tmp_path / "pca.safetensors").exists()
    assert run.recipe.betas == (0.5, 0.9) and recipe.resolutions is None


@pytest.mark.parametrize("name", ["small", "paper"])
def test_every_loss_has_a_weight(name: str) -> None:
    config = PRESETS["tiny"].autoencoders["bass"]
    weights = PRESETS[name].autoencoder_recipe.weights
    objective = Objective(Autoencoder(config), weights)
    audio = 0.1 * torch.randn(1, 2, 4 * R_TIME)
    found, waveform = objective(audio, torch.zeros(1, 4, config.dims), MSSD_HOPS)
    assert found.keys() | {"adversarial"} == weights.keys()
    assert waveform.shape == audio.shape
    assert weighted_sum(found, weights).isfinite()


def test_crops_are_deterministic_scaled_and_padded() -> None:
    (name, first), (_, second) = (crop(CLIPS, np.random.default_rng(3), 2 * R_TIME) for _ in range(2))
    assert name.startswith("clip ")
    assert np.array_equal(first, second) and first.dtype == np.float32 and np.abs(first).max() < 1
    _, padded = crop([np.ones((2, 100), np.float32)], np.random.default_rng(0), 300)
    assert padded.shape == (2, 300) and padded.sum() == 200


def test_pitch_track_finds_the_lowest_and_highest_bass_notes() -> None:
    time = torch.arange(44_100) / 44_100
    for f0 in (41.2, 55.0, 98.0, 196.0, 392.0):
        tone = sum(torch.sin(2 * torch.pi * k * f0 * time + k) / k for k in range(1, 8))
        found, voiced = pitch_track(0.1 * tone)
        assert voiced.all()
        assert (1200 * (found / f0).log2()).abs().max() < 15
    assert not pitch_track(torch.zeros(44_100))[1].any()


def test_probes_know_a_semitone_and_a_gain() -> None:
    time = torch.arange(88_200) / 44_100
    low, high = (0.1 * torch.sin(2 * torch.pi * f0 * time).expand(1, 2, -1) for f0 in (55.0, 58.27))
    assert pitch_kept(low, low) == 1.0 and pitch_kept(low, high) == 0.0
    assert level_error(low, 0.5 * low) == pytest.approx(-6.02, abs=0.01)


def test_a_moved_decoder_gives_the_same_answer_from_rotated_latents() -> None:
    torch.manual_seed(0)
    before = Autoencoder(PRESETS["tiny"].autoencoders["bass"])
    audio = 0.1 * torch.randn(4, 2, 32 * R_TIME) * torch.rand(4, 1, 32).repeat_interleave(R_TIME, dim=-1)
    before.fit_linear_path(lambda: iter([audio]))
    torch.nn.init.normal_(before.decoder.layers[-1].weight, std=0.1)
    after = Autoencoder(before.config)
    after.linear = copy.deepcopy(before.linear)
    after.feature_mean.copy_(before.feature_mean + 0.1)
    assert after.linear is not None
    turn = torch.linalg.qr(torch.randn(before.config.dims, before.config.dims)).Q
    after.linear.components.copy_(turn @ after.linear.components / after.linear.score_std[:, None])
    after.linear.score_std.fill_(1.0)
    with_decoder_of(after, before, [audio])
    with torch.no_grad():
        answers = [model.decoder(model.latent(model.log_magnitude(audio)))[:, 8:-8] for model in (before, after)]
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-2, atol=1e-3)
    with pytest.raises(BadInputError, match="another size"):
        with_decoder_of(Autoencoder(PRESETS["tiny"].autoencoders["mix"]), before, [audio])
