"""`python -m bassbench bank`: what the song bank holds, and its songs as audio in a folder."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro
from tqdm import tqdm

from bassbench.audio import write_audio
from bassbench.datasets import ClipRequest, clip_requests
from bassbench.files import write_text
from bassbench.limits import check_limits
from bassbench.own_files import note_written, refuse_foreign
from bassbench.render import Clip, render_stems
from bassbench.song_bank import SPLITS, Song, load_songs

_FILES = ("mix.wav", "bass.wav", "truth.json")


@dataclasses.dataclass(frozen=True)
class Bank:
    """List the song bank (the default), or render songs of one split to a folder."""

    split: Annotated[str, tyro.conf.arg(metavar="|".join(SPLITS))] = "test"
    """Which split to list in detail or to render."""
    render: Path | None = None
    """Folder to render to: one sub-folder a song with mix.wav, bass.wav and truth.json."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over files in that folder, whoever made them."""
    count: int | None = None
    """How many songs (default: all of the split)."""
    seed: int = 0
    """Seed of the arrangement: transposition, bass program, levels, pan, reverb."""
    stems: bool = False
    """Also write every track of the mix as its own file (whole songs instead of 23.8 s clips)."""
    songs: bool = False
    """List every song of the split."""

    def run(self) -> None:
        """Run the command.

        Raises:
            BadInputError: unknown split, bad count, or a folder that cannot be written or holds files of others.
        """
        check_limits(self)
        songs = load_songs(self.split)
        if self.render is None:
            print(_song_table(songs[: self.count]) if self.songs else _split_table())
            return
        requests = clip_requests(self.split, self.count, seed=self.seed)
        if not self.overwrite:
            for request in requests:
                folder = self.render / request.song.name
                names = folder.glob("*.wav") if self.stems else map(folder.joinpath, _FILES)
                refuse_foreign(names, instead="give another folder, or --overwrite")
        for request in tqdm(requests, desc=f"rendering to {self.render}", unit="song"):
            _render(request, self.render / request.song.name, stems=self.stems)
        print(f"{len(requests)} songs of split '{self.split}' in {self.render}")


def _render(request: ClipRequest, folder: Path, *, stems: bool) -> None:
    if stems:
        for name, audio in render_stems(request.song, request.seed).items():
            write_audio(folder / f"{_file_name(name)}.wav", audio)
            note_written(folder / f"{_file_name(name)}.wav")
        return
    clip = request.render()
    write_audio(folder / "mix.wav", clip.mix)
    write_audio(folder / "bass.wav", clip.bass)
    write_truth(folder / "truth.json", clip)
    for name in _FILES:
        note_written(folder / name)


def write_truth(path: Path, clip: Clip) -> None:
    """Write what is known of a clip (chords, beats, notes, key, tempo) as JSON."""
    truth = dataclasses.asdict(dataclasses.replace(clip, mix=np.empty(0), bass=np.empty(0)))
    write_text(path, json.dumps({k: v for k, v in truth.items() if k not in ("mix", "bass")}, indent=1))


def _file_name(track: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in track)


def _split_table() -> str:
    rows = []
    for split in SPLITS:
        songs = load_songs(split)
        rows.append(
            {
                "split": split,
                "songs": len(songs),
                "hours": round(sum(song.duration for song in songs) / 3600, 1),
                "groove components": len({song.component for song in songs}),
                "progressions": len({song.progression for song in songs if song.progression}),
                "tempo": f"{min(s.tempo for s in songs):.0f}-{max(s.tempo for s in songs):.0f}",
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def _song_table(songs: list[Song]) -> str:
    columns = ["name", "key", "tempo", "beats_per_bar", "duration", "progression"]
    return pd.DataFrame([{c: getattr(song, c) for c in columns} for song in songs]).round(1).to_string(index=False)
