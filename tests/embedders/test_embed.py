"""Every embedder: right shape, finite, deterministic, blind to level, rate and channel layout, and strict on input."""

import functools
import json

import numpy as np
import pytest

from bassbench.embedders import musicnn
from bassbench.embedders.registry import EMBEDDERS, embed, find_embedder, protocol
from bassbench.errors import BadInputError

NAMES = list(EMBEDDERS)


@functools.cache
def _expected(name: str) -> np.ndarray:
    return embed(_bass(), 44_100, name)


def _bass(seconds: float = 7.0, *, rate: int = 44_100, channels: int = 2) -> np.ndarray:
    """Plucked notes with overtones up to 2 kHz, `(channels, samples)`."""
    time = np.arange(round(seconds * rate)) / rate
    beat = time % 0.5
    frequency = np.choose((time // 0.5).astype(int) % 4, [41.2, 55.0, 65.4, 98.0])
    tone = sum(np.sin(2 * np.pi * frequency * k * beat) / k for k in range(1, 20)) * np.exp(-4 * beat)
    return np.tile(0.1 * tone, (channels, 1)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_repeatability(name: str) -> None:
    embedder, audio = EMBEDDERS[name], _bass()
    first = embed(audio, 44_100, name)
    assert first.dtype == np.float32 and np.isfinite(first).all()
    assert first.shape == (int((7.0 - embedder.window) / embedder.hop) + 1, embedder.dim)
    np.testing.assert_array_equal(first, _expected(name))
    assert embedder.name == name


@pytest.mark.parametrize("name", NAMES)
def test_level_does_not_matter(name: str) -> None:
    audio = _bass()
    scale = np.abs(_expected(name)).max()
    np.testing.assert_allclose(embed(audio * 0.25, 44_100, name), _expected(name), atol=1e-4 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_channels_are_averaged(name: str) -> None:
    audio = _bass()
    panned = np.stack([audio[0] * 1.5, audio[0] * 0.5])
    for other in (audio[:1], panned):
        np.testing.assert_allclose(embed(other, 44_100, name), _expected(name), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [16_000, 96_000])
def test_the_rate_hardly_matters(name: str, rate: int) -> None:
    mine, other = _expected(name), embed(_bass(rate=rate), rate, name)
    noise = np.random.default_rng(0).standard_normal((1, 7 * 44_100)).astype(np.float32)
    distance = np.linalg.norm(mine - other, axis=1).mean()
    assert distance < 0.15 * np.linalg.norm(mine - embed(noise, 44_100, name), axis=1).mean()


@pytest.mark.parametrize("name", NAMES)
def test_silence_and_noise_have_embeddings(name: str) -> None:
    silence = embed(np.zeros((2, 140_000), np.float32), 44_100, name)
    noise = embed(np.random.default_rng(0).uniform(-1, 1, (2, 140_000)), 44_100, name)
    assert np.isfinite(silence).all() and np.isfinite(noise).all()
    assert np.linalg.norm(silence - noise) > 1


@pytest.mark.parametrize("name", NAMES)
def test_exactly_one_window_is_enough(name: str) -> None:
    embedder = EMBEDDERS[name]
    samples = round(embedder.window * embedder.sample_rate)
    audio = _bass(samples / embedder.sample_rate, rate=embedder.sample_rate)
    assert embed(audio, embedder.sample_rate, name).shape == (1, embedder.dim)
    with pytest.raises(BadInputError, match=r"mine.wav: .* shorter than one window"):
        embed(audio[:, :-1], embedder.sample_rate, name, source="mine.wav")


@pytest.mark.parametrize("name", NAMES)
def test_protocol_is_json_and_names_the_weights(name: str) -> None:
    card = protocol(name)
    assert json.loads(json.dumps(card)) == card
    assert card["embedder"] == name and card["lufs"] == -23.0 and card["resampler"] == "soxr-VHQ"
    assert bool(card["weights_sha256"]) == bool(EMBEDDERS[name].weights_licence)
    assert card != protocol(next(other for other in NAMES if other != name))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 0)), "shorter|shape"),
        (np.zeros((2, 1)), "shorter|shape"),
        (np.zeros(140_000), "channels, samples"),
        (np.zeros((140_000, 2)), "channels, samples"),
        (np.full((2, 140_000), np.nan), "NaN or Inf"),
        (np.full((1, 140_000), np.inf), "NaN or Inf"),
    ],
)
def test_bad_audio_is_named(audio: np.ndarray, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        embed(audio, 44_100)


def test_an_unknown_embedder_is_named_with_the_choices() -> None:
    for ask in (find_embedder, protocol, lambda name: embed(_bass(), 44_100, name)):
        with pytest.raises(BadInputError, match=r"no embedder 'vggish'.*musicnn, log-mel"):
            ask("vggish")


def test_weights_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = _bass(3.0)
    embed(audio, 44_100)
    monkeypatch.setattr(musicnn, "load_musicnn", None)
    embed(audio, 44_100)
