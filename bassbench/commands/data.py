"""`python -m bassbench data`: what a dataset of stems on disk holds, what is wrong with it, and shards of it.

`bassbench data check PATH` decodes every file and prints one line for each problem; the exit status is 0 if all of
it can be used and 2 if not. `bassbench data shard PATH OUT` writes tar shards for training from elsewhere;
`bassbench data render DATA OUT` is in `bassbench.commands.render`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE
from bassbench.commands.render import Render
from bassbench.errors import BadInputError, check_limits
from bassbench.songs.render import CLIP_SAMPLES
from bassbench.stems.checking import check_dataset
from bassbench.stems.layouts import open_dataset


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
