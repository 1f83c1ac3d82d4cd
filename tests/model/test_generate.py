"""From file to file, and the command line, on tiny random weights: rates, memory, styles, bad input."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from tiny_model import music, tiny_model
from valid_audio import assert_audio_valid

from bassbench.audio import SAMPLE_RATE, read_audio
from bassbench.errors import BadInputError
from bassbench.songs.arrangement import Note
from reference_model import generate as generate_module
from reference_model.generate import Options, accompany_file, generate
from reference_model.loading import load
from reference_model.pipeline import BassAccompaniment, Sampling


@pytest.fixture(scope="module")
def model(weights: Path) -> BassAccompaniment:
    return tiny_model(weights)


@pytest.fixture()
def mix_file(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "mix.wav", music(2).T, SAMPLE_RATE)
    return tmp_path / "mix.wav"


def test_a_long_file_takes_no_more_memory(weights: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's peak memory counter")
    model = load(weights)
    peaks = []
    for minutes in (2, 2, 8):  # the first two fill the allocator
        piece = music(10).T
        with soundfile.SoundFile(tmp_path / "long.wav", "w", SAMPLE_RATE, 2) as file:
            for _ in range(6 * minutes):
                file.write(piece)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        accompany_file(model, tmp_path / "long.wav", tmp_path / "bass.wav", sampling=Sampling(steps=1))
        peaks.append(peak_memory())
        assert soundfile.info(tmp_path / "bass.wav").frames == minutes * 60 * SAMPLE_RATE
    # Six more minutes of float32 stereo are 127 MB, and an array's way through the model holds several copies.
    assert peaks[2] < max(peaks[:2]) + 110, peaks


def peak_memory() -> float:
    """The most memory this process has held, in MB, since the counter was last set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (22_050, 2), (48_000, 2), (192_000, 1)])
def test_any_rate_gives_the_same_duration_at_44_1(weights: Path, tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "mix.wav", music(1.7, rate, channels).T, rate)
    (output,) = generate(Options(tmp_path / "mix.wav", steps=1, weights=str(weights), quiet=True))
    assert output == tmp_path / "mix.bass.wav"
    info = soundfile.info(output)
    assert (info.samplerate, info.channels) == (SAMPLE_RATE, 2)
    assert info.frames == read_audio(tmp_path / "mix.wav").shape[1] == pytest.approx(1.7 * SAMPLE_RATE, abs=2)
    assert_audio_valid(read_audio(output))


def test_command_line_is_deterministic_and_takes_a_style(weights: Path, mix_file: Path) -> None:
    soundfile.write(mix_file.with_name("style.flac"), music(1, seed=4).T, SAMPLE_RATE)
    options = Options(mix_file, steps=2, weights=str(weights), quiet=True, output=mix_file.with_name("a.wav"))
    first = generate(options)[0].read_bytes()
    assert generate(options)[0].read_bytes() == first
    styled = dataclasses.replace(options, style=mix_file.with_name("style.flac"), output=mix_file.with_name("b.flac"))
    assert np.abs(read_audio(generate(styled)[0]) - read_audio(options.output)).max() > 1e-3


def test_variations_with_the_mix_and_as_notes(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "mix.wav", 3 * music(2.2, 48_000).T, 48_000, subtype="FLOAT")
    options = Options(tmp_path / "mix.wav", steps=1, weights=str(weights), quiet=True, seed=5, device="cpu")
    options = dataclasses.replace(options, variations=2, with_mix=True, midi=True, output=tmp_path / "out" / "b.wav")
    monkeypatch.setattr(generate_module, "transcribe", lambda audio, rate: [Note(0.5, 1.0, 40, 100)])
    written = generate(options)
    names = ["b-1.wav", "b-1.with-mix.wav", "b-1.mid", "b-2.wav", "b-2.with-mix.wav", "b-2.mid"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    basses = [read_audio(written[0]), read_audio(written[3])]
    assert np.abs(basses[0] - basses[1]).max() > 1e-3
    # Each is what its seed gives alone.
    (alone,) = generate(dataclasses.replace(options, variations=1, with_mix=False, midi=False, seed=6))
    np.testing.assert_allclose(read_audio(alone), basses[1], atol=1e-4)
    both, mix = read_audio(written[1]), read_audio(tmp_path / "mix.wav")
    expected = mix + basses[0]
    assert np.abs(expected).max() > 1 > np.abs(both).max()  # turned down, not clipped
    np.testing.assert_allclose(both, expected * 0.999 / np.abs(expected).max(), atol=1e-5)
    (track,) = pretty_midi.PrettyMIDI(str(written[2])).instruments
    assert [note.pitch for note in track.notes] == [40]


def test_the_bar_moves_while_encoding_and_decoding(
    weights: Path, mix_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: dict[str, list[float | None]] = {}

    class Bar(generate_module.tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            bars.setdefault(self.desc, []).append(n)
            return super().update(n)

    monkeypatch.setattr(generate_module, "tqdm", Bar)
    soundfile.write(mix_file, music(8).T, SAMPLE_RATE)
    generate(Options(mix_file, steps=3, weights=str(weights), style=mix_file, device="cpu"))
    assert sum(bars["encoding"]) == 16 * SAMPLE_RATE and len(bars["encoding"]) == 2
    assert bars["sampling"] == [1, 1, 1]
    assert sum(bars["decoding"]) == 8 * SAMPLE_RATE and len(bars["decoding"]) > 2


@pytest.mark.parametrize("level", [1.0, 0.001])
def test_file_to_file_equals_arrays(
    model: BassAccompaniment, tmp_path: Path, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "mix.wav", level * music(7.3, 48_000).T, 48_000, subtype="FLOAT")
    soundfile.write(tmp_path / "style.wav", 0.2 * music(3, seed=5).T, SAMPLE_RATE, subtype="FLOAT")
    mix, style = (read_audio(tmp_path / name)[None] for name in ("mix.wav", "style.wav"))
    monkeypatch.setattr(generate_module, "_BLOCK", 10_000)
    accompany_file(model, tmp_path / "mix.wav", tmp_path / "out.wav", style=tmp_path / "style.wav", seed=3)
    expected = model.accompany(mix, style=style, seeds=[3])[0]
    np.testing.assert_allclose(read_audio(tmp_path / "out.wav"), expected, atol=1e-4 * np.abs(expected).max() + 2**-23)


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["generate", *map(str, arguments)])
        generate_module.main()
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_bad_audio_gets_one_line_and_leaves_nothing(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = {
        "missing.wav": None,
        "empty.wav": b"",
        "text.wav": b"not audio at all",
        "short.wav": music(0.5).T,
        "one.wav": music(1).T[:1],
        "silent.wav": np.zeros((SAMPLE_RATE, 2)),
        "nan.wav": np.full((SAMPLE_RATE, 2), np.nan),
        "surround.wav": music(1, channels=6).T,
    }
    good = tmp_path / "good.wav"
    soundfile.write(good, music(1.2).T, SAMPLE_RATE)
    for name, content in files.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            soundfile.write(path, content, SAMPLE_RATE, subtype="FLOAT")
        for arguments in ((path,), (good, "--style", path)):
            message = refused(capsys, *arguments, "--weights", weights, "--steps", 1, "--quiet")
            assert message.startswith("error: ") and name in message and message.count("\n") == 1
    assert not list(tmp_path.glob("*.bass.wav"))


def test_bad_options_get_one_line(
    weights: Path, mix_file: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, expected in (
        (["--weights", "grand"], "no weights 'grand'"),
        (["--steps", 0], "steps"),
        (["--phi", 2], "phi"),
        (["--grounding", -1], "grounding"),
        (["--temperature", 0], "temperature"),
        (["--device", "warp"], "device 'warp'"),
        (["--variations", 0], "--variations takes 1 to 100"),
        (["-o", mix_file], "overwrite"),
        (["-o", mix_file.with_suffix(".txt")], "can write .wav or .flac"),
        (["-o", mix_file / "below.wav"], "cannot write"),
    ):
        message = refused(capsys, mix_file, "--weights", weights, "--steps", 1, "--quiet", *arguments)
        assert message.startswith("error: ") and expected in message and message.count("\n") == 1
    assert [path.name for path in mix_file.parent.iterdir()] == ["mix.wav"]


def test_command_runs_as_a_module(weights: Path, mix_file: Path) -> None:
    command = [sys.executable, "-m", "reference_model.generate", mix_file, "--weights", weights, "--steps", "2"]
    done = subprocess.run(map(str, command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mix.bass.wav" in done.stderr and "sampling: 100%" in done.stderr
    assert_audio_valid(read_audio(mix_file.with_name("mix.bass.wav")), samples=2 * SAMPLE_RATE)


def test_a_file_of_the_default_name_is_not_overwritten(weights: Path, mix_file: Path) -> None:
    mine = mix_file.with_name("mix.bass.wav")
    mine.write_bytes(b"my own take")
    options = Options(mix_file, steps=1, weights=str(weights), quiet=True)
    with pytest.raises(BadInputError, match=r"mix.bass.wav: is there already.*-o, or give --overwrite"):
        generate(options)
    assert mine.read_bytes() == b"my own take"
    assert generate(dataclasses.replace(options, overwrite=True)) == generate(options) == [mine]
