"""Every published layout becomes the same view: tracks, a bass, and a mix that is the sum of all else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import stem_trees as trees

from bassbench.bad_input import BadInputError
from bassbench.stems.folders import is_bass
from bassbench.stems.layouts import LAYOUTS, open_dataset

TREES: dict[str, Callable[[Path], Path]] = {
    "Slakh2100": trees.slakh,
    "MoisesDB": trees.moisesdb,
    "MedleyDB": trees.medleydb,
    "MUSDB18-HQ": trees.musdb,
    "folders of stems": trees.folders,
    "folder of mixes": trees.mixes,
}


def test_every_layout_has_a_tree() -> None:
    assert set(TREES) == set(LAYOUTS)


@pytest.mark.parametrize("name", TREES)
def test_a_layout_is_known_and_its_bass_is_not_in_the_mix(tmp_path: Path, name: str) -> None:
    dataset = open_dataset(TREES[name](tmp_path))
    assert dataset.layout == name and not dataset.problems
    for track in dataset:
        mix = track.read(track.others, 0, track.samples)[0]
        spectrum = np.abs(np.fft.rfft(mix[: 2 * trees.RATE])) / trees.RATE  # bins of half a hertz
        assert spectrum[2 * 60] < 1e-3 < spectrum[2 * 85 :].max()
        if track.is_pair:
            bass = np.abs(np.fft.rfft(track.read(["bass"], 0, 2 * trees.RATE)[0])) / trees.RATE
            assert bass[: 2 * 80].max() > 0.02 > bass[2 * 85 :].max()
    assert len(dataset.pairs) == (0 if name == "folder of mixes" else len(dataset))


def test_roles_and_splits(tmp_path: Path) -> None:
    slakh = open_dataset(trees.slakh(tmp_path / "slakh"))[0]
    assert set(slakh.stems) == {"S00 drums", "S01 piano", "bass"} and slakh.split == "train"
    assert list(slakh.midi) == ["bass"]
    moises = open_dataset(trees.moisesdb(tmp_path / "moises"))[0]
    assert {role: len(files) for role, files in moises.stems.items()} == {"bass": 1, "drums": 2, "guitar": 1}
    medley = open_dataset(trees.medleydb(tmp_path / "medley"))[0]
    assert set(medley.stems) == {"bass", "S02 drum set", "S04 synthesizer"} and len(medley.stems["bass"]) == 2
    musdb = open_dataset(trees.musdb(tmp_path / "musdb"))
    assert [track.name for track in musdb.split("test")] == ["test/B - Two"]
    assert set(musdb[0].stems) == {"bass", "drums", "other", "vocals"}
    with pytest.raises(BadInputError, match="there are: test, train"):
        musdb.split("validation")
    other = open_dataset(trees.folders(tmp_path / "folders"))
    assert [set(track.stems) for track in other] == [{"bass", "bass drum", "keys"}, {"bass", "gtr"}]


def test_variants_of_the_layouts(tmp_path: Path) -> None:
    baby = open_dataset(trees.slakh(tmp_path / "baby", suffix=".wav", place="Track00001", rate=16_000))[0]
    assert baby.split is None and baby.samples == 6 * trees.RATE
    apart = open_dataset(trees.medleydb(tmp_path / "apart", metadata="Metadata/{track}_METADATA.yaml"))
    assert apart.layout == "MedleyDB" and apart[0].is_pair
    inside = open_dataset(tmp_path / "apart" / "Audio")
    assert inside.layout == "MedleyDB" and inside[0].is_pair


def test_a_folder_of_pairs_with_mix_and_bass(tmp_path: Path) -> None:
    for name, hertz in (("mix", 300), ("bass", 60)):
        trees.write(tmp_path / "song" / f"{name}.wav", trees.tone(hertz))
    assert set(open_dataset(tmp_path)[0].stems) == {"mix", "bass"}


@pytest.mark.parametrize(
    ("name", "bass"),
    [
        ("bass", True),
        ("03_Bass_DI", True),
        ("synth-bass2", True),
        ("Bass Drum", False),
        ("bassoon", False),
        ("contrabassoon", False),
        ("bass clarinet", False),
    ],
)
def test_names_of_basses(name: str, bass: bool) -> None:
    assert is_bass(name) == bass


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", "not a folder"),
        ("empty folder", "known layouts: Slakh2100"),
        ("shards", "look like shards"),
        ("mp4 stems", "HQ version"),
        ("moises: no json", "cannot read the metadata"),
        ("moises: no stems", "no field 'stems' of type list"),
        ("moises: a list", "expected a mapping"),
        ("slakh: yaml", "cannot read the metadata"),
        ("slakh: rendered stem missing", "says it was rendered"),
        ("medley: no metadata", "no ArtistName_SongTitle_METADATA.yaml"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(tmp_path: Path, damage: str, message: str) -> None:
    path = tmp_path / "data"
    if damage == "no folder":
        path.write_text("")
    elif damage in ("empty folder", "shards", "mp4 stems"):
        (path / "train").mkdir(parents=True)
        if damage == "shards":
            (path / "000000.tar").touch()
        if damage == "mp4 stems":
            (path / "train" / "song.stem.mp4").touch()
    elif damage.startswith("moises"):
        (file,) = trees.moisesdb(path).rglob("data.json")
        file.write_text({"moises: no json": "{", "moises: no stems": json.dumps({"song": "x"})}.get(damage, "[]"))
    elif damage.startswith("slakh"):
        trees.slakh(path)
        if damage == "slakh: yaml":
            next(path.rglob("metadata.yaml")).write_text("stems: [}")
        else:
            next(path.rglob("S01.flac")).unlink()
    else:
        next(trees.medleydb(path).rglob("*_METADATA.yaml")).unlink()
    with pytest.raises(BadInputError, match=message) as error:
        open_dataset(path)
    assert "\n" not in str(error.value)


def test_a_damaged_track_leaves_the_others(tmp_path: Path) -> None:
    trees.musdb(tmp_path)
    (tmp_path / "test" / "B - Two" / "vocals.wav").unlink()
    dataset = open_dataset(tmp_path)
    assert [track.name for track in dataset] == ["train/A - One"]
    assert len(dataset.problems) == 1 and "vocals.wav missing" in dataset.problems[0]
