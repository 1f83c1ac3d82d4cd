"""`bassbench data render DATA OUT`: the clips that systems are scored on as files, for systems in any language."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from bassbench.audio import write_audio
from bassbench.errors import check_limits, unknown_name
from bassbench.files import file_stem, write_text
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.songs.render import Clip
from bassbench.suite.clip_set import open_clip_set, parts
from bassbench.suite.sources import STYLES, Pieces

_FILES = ("mix.wav", "bass.wav", "style.wav", "truth.json")


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
        pieces = Pieces(entries, partners(entries, self.seed), self.style, self.seed)
        folders = [self.out / file_stem(entry.name) for entry in entries]
        if not self.overwrite:
            paths = (folder / name for folder in folders for name in _FILES)
            refuse_foreign(paths, instead="give another folder, or --overwrite")
        for index, entry in enumerate(tqdm(entries, desc=f"writing to {self.out}", unit="clip", leave=False)):
            clip, folder = entry.load(), folders[index]
            write_audio(folder / "mix.wav", clip.mix)
            write_audio(folder / "bass.wav", clip.bass)
            style = pieces.style_of(index, clip)
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
