"""`python -m bassbench data`: what a dataset of stems on disk holds, what is wrong with it, and files of it.

`bassbench data check PATH` decodes every file and prints one line for each problem; the exit status is 0 if all of
it can be used and 2 if not. `bassbench data shard PATH OUT` writes tar shards for training from elsewhere;
`bassbench data render DATA OUT` writes the clips that systems are scored on as files, for systems in any language.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE, write_audio
from bassbench.errors import BadInputError, check_limits, unknown_name
from bassbench.files import file_stem, write_text
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.songs.render import CLIP_SAMPLES, Clip
from bassbench.stems.checking import check_dataset
from bassbench.stems.layouts import open_dataset
from bassbench.suite.clip_set import open_clip_set, parts
from bassbench.suite.sources import STYLES, ClipPlan

_FILES = ("mix.wav", "bass.wav", "style.wav", "truth.json")  # of a clip


@dataclasses.dataclass(frozen=True)
class Check:
    """Decode every file of a dataset and say what is wrong with it."""

    path: tyro.conf.Positional[Path]
    """Top folder of the dataset."""

    def run(self) -> None:
        """Print what was found.

        Raises:
            BadInputError: no dataset, or one with files that cannot be used.
        """
        dataset = open_dataset(self.path)
        report = check_dataset(dataset, lambda files: tqdm(files, "checking", unit="file", leave=False))
        print(report.summary())
        for line in report.faults:
            print(f"fault: {line}")
        for line in report.notes:
            print(f"note: {line}")
        if report.faults:
            count = len(report.faults)
            raise BadInputError(f"{self.path}: {count} fault{'s' * (count > 1)} (above); mend or remove those tracks")
        print(f"usable, with {len(report.notes)} note{'s' * (len(report.notes) != 1)}")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Write a dataset as tar shards; the same command goes on where it was cut off."""

    path: tyro.conf.Positional[Path]
    """Top folder of the dataset."""
    out: tyro.conf.Positional[Path]
    """Folder of the shards."""
    seconds: float = 2 * CLIP_SAMPLES / SAMPLE_RATE
    """Length of a sample: twice that of the paper's training examples, which are cropped from it."""
    per_shard: int = 64
    """Samples in a shard. Every data loader worker of every process needs a shard of its own to be busy."""
    split: str | None = None
    """One published split; None: all tracks."""
    seed: int = 0
    """Seed of the order, in which tracks are mixed over the shards."""

    def run(self) -> None:
        """Write the shards.

        Raises:
            BadInputError: no dataset, damaged files, no disk space, or the folder has shards of other settings.
        """
        from bassbench.stems.shards import write_shards  # its torch takes a second that no other command should pay

        check_limits(self, seconds="shard_seconds")
        dataset = open_dataset(self.path)
        dataset = dataset if self.split is None else dataset.split(self.split)
        if dataset.problems:
            raise BadInputError(f"{dataset.problems[0]}; `bassbench data check {self.path}` lists all problems")
        samples = round(self.seconds * SAMPLE_RATE)
        written = write_shards(dataset, self.out, samples=samples, per_shard=self.per_shard, seed=self.seed)
        print(f"{len(written)} shard{'s' * (len(written) != 1)} of {self.path} in {self.out}")


@dataclasses.dataclass(frozen=True)
class Render:
    """Write the clips of `bassbench score` with the same options: one sub-folder a clip, named as `score` wants it.

    Each holds mix.wav, bass.wav (the real one), truth.json (chords, beats, notes, key, tempo, each empty where
    unknown) and, where a style is asked for, style.wav.
    """

    data: tyro.conf.Positional[str]
    """A split of the song bank (test, human, ...), a plug-in's name, or a folder of stems."""
    out: tyro.conf.Positional[Path]
    """Folder to write to."""
    clips: int | None = None
    """How many, in the data's own order (default: as many as are scored by default)."""
    style: Annotated[str, tyro.conf.arg(metavar="|".join(STYLES))] = "none"
    """The style clip: none, the clip's own real bass, or that of another song."""
    seconds: float | None = None
    """Length of the clips of a folder of stems (default: 23.8)."""
    seed: int = 0
    """Seed that says which other song a style is of."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over files in that folder, whoever made them."""

    def run(self) -> None:
        """Write the clips.

        Raises:
            BadInputError: the data or an option cannot be used, or the folder cannot be written.
        """
        from bassbench.suite.suite import partners  # its torch takes seconds that --help should not pay

        if self.style not in STYLES:
            raise unknown_name("style", self.style, STYLES)
        check_limits(self)
        entries = parts(open_clip_set(self.data, self.seconds), self.clips, 0).evaluated
        clips = ClipPlan(entries, partners(entries, self.seed), self.style, self.seed)
        folders = [self.out / file_stem(entry.name) for entry in entries]
        if not self.overwrite:
            paths = (folder / name for folder in folders for name in _FILES)
            refuse_foreign(paths, instead="give another folder, or --overwrite")
        for index, entry in enumerate(tqdm(entries, desc=f"writing to {self.out}", unit="clip", leave=False)):
            clip, folder = entry.load(), folders[index]
            write_audio(folder / "mix.wav", clip.mix)
            write_audio(folder / "bass.wav", clip.bass)
            style = clips.style_of(index, clip)
            if style is not None:
                write_audio(folder / "style.wav", style)
            write_truth(folder / "truth.json", clip)
            for path in filter(Path.exists, map(folder.joinpath, _FILES)):
                note_written(path)
        print(f"{len(entries)} clips of '{self.data}' in {self.out}")


def write_truth(path: Path, clip: Clip) -> None:
    """Write what is known of a clip (chords, beats, notes, key, tempo) as JSON."""
    truth = dataclasses.asdict(dataclasses.replace(clip, mix=np.empty(0), bass=np.empty(0)))
    write_text(path, json.dumps({k: v for k, v in truth.items() if k not in ("mix", "bass")}, indent=1))


@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclasses.dataclass(frozen=True)
class Data:
    """Check a dataset of stems (MUSDB18-HQ, MoisesDB, Slakh2100, MedleyDB, folders), shard it, or write its clips."""

    do: (
        Annotated[Check, tyro.conf.subcommand("check", prefix_name=False)]
        | Annotated[Shard, tyro.conf.subcommand("shard", prefix_name=False)]
        | Annotated[Render, tyro.conf.subcommand("render", prefix_name=False)]
    )

    def run(self) -> None:
        """Run the chosen command."""
        self.do.run()
