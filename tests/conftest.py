"""Fixtures shared by the tests: a cache of their own, one thread, and a song that needs no song bank."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import torch
from accelerate.state import AcceleratorState

from bassbench.songs.song_bank import Chord, Song


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/benchmarks; pytest reads them here, where it looks before it collects."""
    group = parser.getgroup("bassbench benchmarks")
    group.addoption("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: the GPU if there is one)")
    group.addoption("--preset", default="small", choices=("tiny", "small", "paper"), help="sizes of the models")
    group.addoption("--batch-sizes", default="", help="such as 1,8,64 (default: 1,8 on a CPU, 1,8,64 on a GPU)")
    group.addoption("--dtypes", default="", help="float32,bfloat16 (default: what the device is fast in)")
    group.addoption("--threads", type=int, default=0, help="of a CPU (0: all cores that this process may use)")
    group.addoption("--seconds-per-case", type=float, default=1.0, help="rounds go on for this long (0: one round)")
    group.addoption("--costly", action="store_true", help="also what takes minutes on a CPU")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests read and write their own cache folder, never the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASSBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with random weights, and a matcher."""
    from tiny_studies import save_tiny_weights  # imports the studies, which most tests do without

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def song() -> Song:
    """Eight bars of C major at 120 BPM: bass roots, a chord part, drums; known by construction."""
    midi = pretty_midi.PrettyMIDI()
    bass = pretty_midi.Instrument(33, name="bass")
    chords = pretty_midi.Instrument(0, name="chord")
    drums = pretty_midi.Instrument(0, is_drum=True, name="drum")
    truth = []
    for bar in range(14):
        start, root = 2.0 * bar, (0, 9, 5, 7)[bar % 4]
        pitch_classes = tuple((root + step) % 12 for step in (0, 3 if root == 9 else 4, 7))
        truth.append(Chord(start, start + 2.0, "CAFG"[bar % 4] + ("m" if root == 9 else ""), root, pitch_classes))
        bass.notes += [pretty_midi.Note(100, 36 + root, start + beat, start + beat + 0.45) for beat in (0, 0.5, 1, 1.5)]
        chords.notes += [pretty_midi.Note(80, 60 + p, start, start + 1.9) for p in pitch_classes]
        drums.notes += [pretty_midi.Note(90, 36, start + beat, start + beat + 0.1) for beat in (0, 1)]
    midi.instruments += [bass, chords, drums]
    file = io.BytesIO()
    midi.write(file)
    beats = tuple(np.arange(0, 28, 0.5))
    return Song(
        name="made",
        split="test",
        midi=file.getvalue(),
        tempo=120.0,
        key="C major",
        beats_per_bar=4,
        beats=beats,
        downbeats=beats[::4],
        chords=tuple(truth),
        sections=(),
        component="made",
        progression="C Am F G",
        duration=28.0,
        window=0.0,
    )


@pytest.fixture(scope="session")
def wav_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder for audio files of the session."""
    return tmp_path_factory.mktemp("wav")


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> None:
    """Accelerate keeps one state a process; each test's training starts as a program of its own would."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny tensors: a second thread costs more than it gives. Whatever a test sets, the next begins so."""
    torch.set_num_threads(1)
