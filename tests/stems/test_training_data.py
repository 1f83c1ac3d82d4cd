"""Training pairs come from the bank by name and from folders of stems by path, through every trainer's own door."""

from pathlib import Path

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE, write_audio
from bassbench.errors import BadInputError
from bassbench.songs.render import CLIP_SAMPLES
from bassbench.stems.training_data import training_requests, training_stems
from contrastive.config import MATCHERS
from contrastive.songs import song_features
from reference_model.autoencoder import Autoencoder
from reference_model.latents import song_latents
from reference_model.presets import PRESETS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three tracks of 30 s, each with a bass and two other stems."""
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    time = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    for track in range(3):
        for stem, f0 in (("bass", 55.0), ("guitar", 220.0), ("keys", 330.0)):
            tone = 0.2 * np.sin(2 * np.pi * f0 * (1 + track / 12) * time) + 0.01 * generator.standard_normal(len(time))
            write_audio(tmp_path / "stems" / f"track{track}" / f"{stem}.wav", np.stack([tone, tone]).astype(np.float32))
    return tmp_path / "stems"


def test_the_bank_by_name() -> None:
    requests = training_requests("train", count=3, variants=2)
    assert len({request.key for request in requests}) == 6
    more = training_requests("train", count=3, variants=2, subsets=3)
    assert len({request.key for request in more}) == 18 and {one.key for one in requests} < {one.key for one in more}
    for split in ("human", "unseen-font"):
        with pytest.raises(BadInputError, match="testing only"):
            training_requests(split)
    with pytest.raises(BadInputError):
        training_requests("no/such/folder")


def test_families_render_the_bank_and_nothing_else(tmp_path: Path) -> None:
    requests = training_requests("train", count=2, families=("voice", "keys"))
    assert all(request.families == ("keys", "voice") for request in requests)  # in the table's order, whatever was said
    assert not {request.key for request in requests} & {request.key for request in training_requests("train", count=2)}
    for data in (str(tmp_path), str(tmp_path / "train-{00..03}.tar")):
        for door in (training_requests, lambda data, families: training_stems(data, "bass", families=families)):
            with pytest.raises(BadInputError, match="is audio already"):
                door(data, families=("keys",))


def test_a_folder_gives_pairs(folder: Path) -> None:
    requests = training_requests(str(folder))
    assert len(requests) >= 3 and len({request.key for request in requests}) == len(requests)
    clip = requests[0].render()
    assert clip.mix.shape == clip.bass.shape and np.abs(clip.mix).max() > 0.05 and np.abs(clip.bass).max() > 0.05


def test_examples_of_a_folder_get_random_crops_and_one_of_several_subsets(folder: Path, tmp_path: Path) -> None:
    time = np.arange(60 * SAMPLE_RATE) / SAMPLE_RATE
    for stem, f0 in (("bass", 55.0), ("guitar", 220.0), ("keys", 330.0), ("pad", 440.0)):
        tone = (0.2 * np.sin(2 * np.pi * f0 * time)).astype(np.float32)
        write_audio(folder / "long" / f"{stem}.wav", np.stack([tone, tone]))
    requests = training_requests(str(folder), subsets=6)
    assert len({request.key for request in requests}) == len(requests)
    windows = {(one.track.name, one.start, one.samples) for one in requests}
    assert len(requests) == 6 * len(windows)
    # Where a track has room a crop of the paper's length can begin anywhere in a window.
    assert {samples for name, _, samples in windows if name == "long"} == {2 * CLIP_SAMPLES}
    assert {samples for name, _, samples in windows if name != "long"} == {CLIP_SAMPLES}
    mixes = [one.render().mix[0, ::5001] for one in requests if one.track.name == "long"]
    assert len({mix.tobytes() for mix in mixes}) > 2
    assert {one.track.name for one in training_requests(str(folder), count=1)} == {requests[0].track.name}


def test_a_folder_trains_the_autoencoders(folder: Path) -> None:
    for which in ("mix", "bass"):
        clips = training_stems(str(folder), which)
        assert len(clips) >= 3 and clips[0].shape[0] == 2 and np.abs(np.asarray(clips[0])).max() > 0


def test_a_folder_gives_latents_and_matcher_features(folder: Path) -> None:
    coders = [Autoencoder(PRESETS["tiny"].autoencoders[which]) for which in ("mix", "bass")]
    pairs = song_latents(str(folder), *coders, frames=64, progress=False)
    name, mix, bass = pairs.example(np.random.default_rng(0))
    assert mix.shape == (16, 64) and bass.shape == (8, 64) and "@" in name
    songs = song_features(str(folder), MATCHERS["tiny"].sizes.features, songs=1, progress=False)
    assert songs and all(song.tempo == 120.0 and song.tonic == -1 and song.bass.any() for song in songs)
