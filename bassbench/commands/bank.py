"""`python -m bassbench bank`: what the song bank holds, and its songs as stems in a folder."""

import dataclasses
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from tqdm import tqdm

from bassbench.audio import write_audio
from bassbench.errors import check_limits
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.songs.clips import clip_requests
from bassbench.songs.render import render_stems
from bassbench.songs.song_bank import SPLITS, Song, load_songs


@dataclasses.dataclass(frozen=True)
class Bank:
    """List the song bank (the default), or write whole songs of one split as stems (clips: `data render`)."""

    split: Annotated[str, tyro.conf.arg(metavar="|".join(SPLITS))] = "test"
    """Which split to list in detail or to render."""
    stems: Path | None = None
    """Folder to write whole songs to: one sub-folder a song, one file a track."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over files in that folder, whoever made them."""
    count: int | None = None
    """How many songs (default: all of the split)."""
    seed: int = 0
    """Seed of the arrangement: transposition, bass program, levels, pan, reverb."""
    songs: bool = False
    """List every song of the split."""

    def run(self) -> None:
        """Run the command.

        Raises:
            BadInputError: unknown split, bad count, or a folder that cannot be written or holds files of others.
        """
        check_limits(self)
        songs = load_songs(self.split)
        if self.stems is None:
            print(_song_table(songs[: self.count]) if self.songs else _split_table())
            return
        requests = clip_requests(self.split, self.count, seed=self.seed)
        for request in requests if not self.overwrite else ():
            refuse_foreign(
                (self.stems / request.song.name).glob("*.wav"), instead="give another folder, or --overwrite"
            )
        for request in tqdm(requests, desc=f"rendering to {self.stems}", unit="song"):
            for name, audio in render_stems(request.song, request.seed).items():
                path = self.stems / request.song.name / f"{_file_name(name)}.wav"
                write_audio(path, audio)
                note_written(path)
        print(f"{len(requests)} songs of split '{self.split}' in {self.stems}")


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
