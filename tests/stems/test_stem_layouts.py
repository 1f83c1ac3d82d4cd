"""Every published layout becomes the same view: tracks, a bass, and a mix that is the sum of all else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stem_trees as trees

from bassbench.errors import BadInputError
from bassbench.files import file_stem
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


STEMS = {"bass": 60, "drums": 200, "keys": 300}


def _song(folder: Path, names: str, hertz: dict[str, int] = STEMS) -> Path:
    """Files of the tones that their names are made of: `{stem}` stands for each, other names for the sum of all."""
    for name in names.split(", "):
        if "{stem}" in name:
            for stem, tone in hertz.items():
                trees.write(folder / name.format(stem=stem), trees.tone(tone, 3))
        else:
            trees.write(folder / name, sum(trees.tone(tone, 3) for tone in hertz.values()))
    return folder


@pytest.mark.parametrize(
    "others", ["mix.wav", "Some Song.wav", "no_bass.wav, mix_minus_bass.flac", "x_(Instrumental).aiff", "mixture.wav"]
)
def test_a_mix_beside_its_stems_is_left_out_and_noted(tmp_path: Path, others: str) -> None:
    _song(tmp_path / "song", f"{{stem}}.wav, {others}")
    track = open_dataset(tmp_path)[0]
    assert set(track.stems) == set(STEMS) and len(track.notes) == len(others.split(", "))
    assert all(name in " ".join(track.notes) for name in others.split(", "))


def test_two_microphones_and_a_lone_mix_without_bass_are_no_sums(tmp_path: Path) -> None:
    folder = _song(tmp_path / "song", "{stem}.wav")
    trees.write(folder / "drums 2.wav", 0.7 * trees.tone(200, 3))
    for name, hertz in (("bass", 60), ("no_bass", 300)):
        trees.write(tmp_path / "pair" / f"{name}.wav", trees.tone(hertz, 3))
    pair, song = open_dataset(tmp_path)
    assert set(song.stems) == {*STEMS, "drums 2"} and set(pair.stems) == {"bass", "no_bass"}
    assert not song.notes and not pair.notes


def test_a_mix_that_holds_the_bass_makes_no_pair(tmp_path: Path) -> None:
    trees.write(tmp_path / "song" / "bass.wav", trees.tone(60, 3))
    trees.write(tmp_path / "song" / "mix.wav", trees.tone(60, 3) + trees.tone(300, 3))
    track = open_dataset(tmp_path)[0]
    assert not track.is_pair and "mix.wav left out: by its sound" in track.notes[0]


def test_one_stem_in_two_formats_is_refused(tmp_path: Path) -> None:
    _song(tmp_path / "one", "{stem}.wav")
    _song(tmp_path / "two", "{stem}.wav, {stem}.mp3")
    dataset = open_dataset(tmp_path)
    assert [track.name for track in dataset] == ["one"]
    assert "keep one file a stem" in dataset.problems[0] and "bass.wav" in dataset.problems[0]


@pytest.mark.parametrize("suffix", [".aif", ".aiff", ".AIFC", ".caf", ".w64", ".au", ".oga", ".opus"])
def test_what_libsndfile_reads_is_read(tmp_path: Path, suffix: str) -> None:
    rate, kind = (48_000, "OGG") if suffix in (".oga", ".opus") else (44_100, suffix[1:4].upper())
    kind = {"AIF": "AIFF"}.get(kind, kind)
    for stem, hertz in STEMS.items():
        (tmp_path / "song").mkdir(exist_ok=True)
        subtype = "OPUS" if suffix == ".opus" else None
        soundfile.write(
            tmp_path / "song" / f"{stem}{suffix}", trees.tone(hertz, 1, rate=rate), rate, subtype, format=kind
        )
    track = open_dataset(tmp_path)[0]
    assert set(track.stems) == set(STEMS) and track.samples == trees.RATE
    assert np.abs(track.read(["keys"], 0, track.samples)).max() > 0.05


def test_what_is_not_read_is_noted(tmp_path: Path) -> None:
    (_song(tmp_path / "song", "{stem}.wav") / "guitar.m4a").write_bytes(b"x")
    for name in ("bass", "drums"):
        (tmp_path / "all" / f"{name}.m4a").parent.mkdir(exist_ok=True)
        (tmp_path / "all" / f"{name}.m4a").write_bytes(b"x")
    dataset = open_dataset(tmp_path)
    assert dataset[0].notes == ("guitar.m4a: not read; convert it to flac",)
    assert len(dataset) == 1 and "all/bass.m4a: not read" in dataset.problems[0]
    (tmp_path / "recordings").mkdir()
    for place in (tmp_path / "recordings" / "a.wav", tmp_path / "recordings" / "b.wma"):
        trees.write(place, trees.tone(60, 1)) if place.suffix == ".wav" else place.write_bytes(b"x")
    assert "b.wma: not read" in open_dataset(tmp_path / "recordings").problems[0]


@pytest.mark.parametrize("form", ["{n}_Song {n}_({stem}).wav", "Song {n} - {stem}.wav", "song{n}_{stem}_.wav"])
def test_songs_side_by_side_become_tracks_or_are_refused(tmp_path: Path, form: str) -> None:
    for n in (1, 2, 3):
        _song(tmp_path / "out", form.replace("{n}", str(n)), {"bass": 60 + n, "drums": 200 + n, "vocals": 300 + n})
    if form.endswith("_.wav"):  # not what a separator writes: one track, and no bass in the mix of it
        assert [len(track.stems["bass"]) for track in open_dataset(tmp_path)] == [3]
        return
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 3 and all(len(track.stems) == 3 and len(track.files) == 3 for track in dataset)
    assert dataset[1].name.startswith("out/") and "2" in dataset[1].name
    trees.write(tmp_path / "out" / "click.wav", trees.tone(99, 1))
    with pytest.raises(BadInputError, match="stems of several songs"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("form", ["{n}_{stem}.wav", "{n} ({stem}).flac"])
def test_two_stems_of_songs_side_by_side(tmp_path: Path, form: str) -> None:
    for n in "AB":
        for stem, hertz in (("bass", 60), ("no_bass", 300)):
            trees.write(tmp_path / form.format(n=n, stem=stem), trees.tone(hertz, 2))
    assert [(track.name, len(track.files)) for track in open_dataset(tmp_path)] == [("A", 2), ("B", 2)]
    for name in ("bass", "keys"):
        trees.write(tmp_path / "A" / f"{name}.wav", trees.tone(99 + len(name), 1))
    assert "stems of several songs" in open_dataset(tmp_path).problems[0]


def test_a_part_beside_the_mix_that_has_it_is_left_out(tmp_path: Path) -> None:
    for name, hertz in (("bass", (60,)), ("vocals", (400,)), ("no_bass", (200, 300, 400))):
        trees.write(tmp_path / "song" / f"{name}.wav", sum(trees.tone(hertz, 2) for hertz in hertz))
    track = open_dataset(tmp_path)[0]
    assert set(track.stems) == {"bass", "no_bass"} and track.notes == ("vocals.wav left out: part of no_bass.wav",)


def test_stems_of_one_song_are_not_several_songs(tmp_path: Path) -> None:
    _song(tmp_path / "numbers", "01_{stem}.wav")
    _song(tmp_path / "kinds", "Synth_bass.wav, E_bass.wav, Pop_drums.wav, Big_vocals.wav", {"x": 1})
    assert [track.name for track in open_dataset(tmp_path)] == ["kinds", "numbers"]


@pytest.mark.parametrize("name", TREES)
def test_hidden_folders_are_no_tracks(tmp_path: Path, name: str) -> None:
    root, copy = TREES[name](tmp_path / "data"), tmp_path / "copy"
    before = open_dataset(root)
    shutil.copytree(root, copy)
    for folder in [path for path in copy.rglob("*") if path.is_dir()]:
        hidden = root / folder.relative_to(copy).parent / ".ipynb_checkpoints"
        shutil.copytree(folder, hidden, dirs_exist_ok=True, copy_function=os.link)
    shutil.copytree(copy, root / "__MACOSX", copy_function=os.link)
    assert open_dataset(root) == before


def test_names_of_tracks_make_names_of_files_that_differ(tmp_path: Path) -> None:
    for folder in ("a/t0", "a_t0", "A_T0 (2)"):
        _song(tmp_path / folder, "{stem}.wav")
    names = [track.name for track in open_dataset(tmp_path)]
    assert len({file_stem(name).casefold() for name in names}) == 3 and "a/t0" in " ".join(names)


@pytest.mark.parametrize("name", [name for name in TREES if name != "folder of mixes"])
def test_the_folder_above_a_dataset_points_to_it(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path / "parent" / "data")
    known = "parent" if name == "folders of stems" else "parent/data"  # two levels of folders are its own
    with pytest.raises(BadInputError, match=rf"point to {tmp_path / known} \({name}\)"):
        open_dataset(tmp_path)


def test_a_split_has_its_own_problems(tmp_path: Path) -> None:
    trees.musdb(tmp_path, ("train/A", "train/B", "test/C", "test/D"))
    for track in ("train/B", "test/D"):
        (tmp_path / track / "bass.wav").unlink()
    dataset = open_dataset(tmp_path)
    assert len(dataset.problems) == 2 and len(dataset.split("test").problems) == 1
    assert "test/D" in dataset.split("test").problems[0]
