"""Reading, writing, resampling and levelling audio; what bad files get."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from valid_audio import assert_audio_valid

from bassbench.audio import (
    SAMPLE_RATE,
    audio_blocks,
    fit_length,
    loudness,
    loudness_normalise,
    read_audio,
    resample,
    to_stereo,
    write_audio,
    write_audio_blocks,
)
from bassbench.errors import BadInputError


def sine(frequency: float = 220.0, *, seconds: float = 1.0, rate: int = SAMPLE_RATE, level: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(level * np.sin(2 * np.pi * frequency * time), (2, 1)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_written_audio_reads_back(tmp_path: Path, suffix: str) -> None:
    audio = sine()
    write_audio(tmp_path / f"a{suffix}", audio)
    np.testing.assert_allclose(read_audio(tmp_path / f"a{suffix}"), audio, atol=2**-22)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_any_common_file_becomes_stereo_44100(tmp_path: Path, rate: int, channels: int, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", sine(rate=rate)[:channels].T, rate, subtype=subtype)
    audio = read_audio(tmp_path / "a.wav")
    assert audio.shape == (2, SAMPLE_RATE) and audio.dtype == np.float32
    inner = slice(4_000, -4_000)
    np.testing.assert_allclose(audio[:, inner], sine()[:, inner], atol=2e-3)


def test_a_slice_of_a_file(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", sine())
    part = read_audio(tmp_path / "a.wav", start=1000, frames=500)
    np.testing.assert_allclose(part, sine()[:, 1000:1500], atol=2**-22)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("block", [1_000, 50_000, 10**6])
def test_blocks_are_the_file(tmp_path: Path, rate: int, block: int) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((rate + 77, 2))
    soundfile.write(tmp_path / "a.wav", noise, rate, subtype="FLOAT")
    blocks = list(audio_blocks(tmp_path / "a.wav", block=block))
    whole = read_audio(tmp_path / "a.wav")
    assert all(piece.dtype == np.float32 and piece.shape[1] for piece in blocks)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=1e-6)
    assert len(blocks) > 1 or block > rate


def test_blocks_write_the_same_file(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", sine())
    write_audio_blocks(tmp_path / "b.wav", (sine()[:, at : at + 999] for at in range(0, SAMPLE_RATE, 999)))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_wav_file_that_would_not_fit_its_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bassbench.audio._LARGEST_WAV", 6 * SAMPLE_RATE - 1)
    with pytest.raises(BadInputError, match="too long"):
        write_audio(tmp_path / "a.wav", sine())
    assert list(tmp_path.iterdir()) == []
    write_audio(tmp_path / "a.flac", sine())
    write_audio(tmp_path / "b.wav", sine()[:, 1:])


def _write_bad(path: Path, kind: str) -> None:
    good = sine(seconds=0.1).T
    if kind == "empty file":
        path.write_bytes(b"")
    elif kind == "not audio":
        path.write_bytes(b"hello, I am a text file" * 10)
    elif kind == "no samples":
        soundfile.write(path, good[:0], SAMPLE_RATE)
    elif kind == "5.1":
        soundfile.write(path, np.tile(good, (1, 3)), SAMPLE_RATE)
    elif kind in ("nan", "inf"):
        good[5] = float(kind)
        soundfile.write(path, good, SAMPLE_RATE, subtype="FLOAT")


@pytest.mark.parametrize("kind", ["missing", "empty file", "not audio", "no samples", "5.1", "nan", "inf"])
def test_a_bad_file_gets_one_line_naming_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.wav"
    _write_bad(path, kind)
    for read in (read_audio, lambda path: list(audio_blocks(path))):
        with pytest.raises(BadInputError, match=r"bad\.wav"):
            read(path)


def test_nothing_is_written_for_bad_audio(tmp_path: Path) -> None:
    audio = sine()
    audio[0, 3] = np.nan
    with pytest.raises(BadInputError, match="NaN"):
        write_audio(tmp_path / "a.wav", audio)
    with pytest.raises(BadInputError, match=r"\.ogg"):
        write_audio(tmp_path / "a.ogg", sine())
    assert list(tmp_path.iterdir()) == []


def test_resampling_keeps_a_tone() -> None:
    there = resample(sine(rate=48_000), 48_000, SAMPLE_RATE)
    inner = slice(2_000, -2_000)
    np.testing.assert_allclose(there[:, inner], sine()[:, inner], atol=1e-4)
    assert resample(there, SAMPLE_RATE, SAMPLE_RATE) is there


def test_loudness_of_the_standard_tone() -> None:
    # BS.1770: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LUFS, in both channels 0.0 LUFS.
    assert loudness(sine(997, seconds=3, level=1.0)) == pytest.approx(0.0, abs=0.05)
    assert loudness(np.zeros((2, SAMPLE_RATE), np.float32)) == -np.inf


@pytest.mark.parametrize("seconds", [0.05, 0.5, 3.0])
def test_normalised_audio_has_the_target_loudness(seconds: float) -> None:
    for level in (0.01, 0.9):
        normalised = loudness_normalise(sine(seconds=seconds, level=level), -23)
        assert loudness(normalised) == pytest.approx(-23, abs=0.1)
    silence = np.zeros((2, 1000), np.float32)
    np.testing.assert_array_equal(loudness_normalise(silence), silence)


def test_fit_length_and_stereo() -> None:
    assert fit_length(sine(), 10).shape == (2, 10)
    padded = fit_length(np.ones((3, 2, 5)), 8)
    assert padded.shape == (3, 2, 8) and padded[..., 5:].sum() == 0
    np.testing.assert_array_equal(to_stereo(np.ones((1, 4))), np.ones((2, 4)))


def test_assert_audio_valid_refuses_what_nobody_should_hear() -> None:
    assert_audio_valid(sine(), samples=SAMPLE_RATE)
    for bad in (sine() * 0, sine() * 3, sine()[:1], sine() * np.nan):
        with pytest.raises(AssertionError):
            assert_audio_valid(bad)
