"""`python -m bassbench.songs.compose`: compose the bank, write its archives and print what they hold.

The same library gives the same bytes. Grooves and progression templates are dealt to the splits first, in
families that would leak into each other; then every song draws its own groove, template, key, tempo and form,
is composed, cleaned and checked.
"""

import argparse
import io
import json
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
from tqdm import tqdm

from bassbench.errors import exit_on_bad_input
from bassbench.songs.compose.freedoom import human_songs
from bassbench.songs.compose.grooves import list_grooves
from bassbench.songs.compose.song import compose_song
from bassbench.songs.compose.splits import plan_slots
from bassbench.songs.song_bank import DATA, SPLITS, load_songs

COUNTS = {"train": 2040, "validation": 154, "test": 256, "train-more": 4080}


def write_bank(path: Path, splits: dict[str, list[tuple[dict[str, Any], bytes]]]) -> None:
    """One archive: per split an index (JSON) and all MIDI files end to end; the same songs, the same bytes."""
    with zipfile.ZipFile(path, "w") as bank:
        for split, songs in splits.items():
            index = json.dumps([entry for entry, _ in songs], separators=(",", ":"), sort_keys=True)
            for name, content in (
                (f"{split}.json", index.encode()),
                (f"{split}.midi", b"".join(midi for _, midi in songs)),
            ):
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type, info.create_system = zipfile.ZIP_LZMA, 3
                info.external_attr = 0o644 << 16
                bank.writestr(info, content)


def describe(split: str) -> str:
    """One line of statistics; a bar offset or a wrong chord would show in the shares."""
    songs = load_songs(split)
    root = tone = downbeats = beats = 0
    rates, pitches = [], []
    for song in songs:
        midi = pretty_midi.PrettyMIDI(io.BytesIO(song.midi))
        bass = next(track for track in midi.instruments if track.name == "bass")
        rates.append(len(bass.notes) / song.duration)
        pitches += [note.pitch for note in bass.notes]
        starts = np.array([chord.start for chord in song.chords])
        for note in bass.notes:
            place = note.start * song.tempo / 60
            if song.chords and abs(place - round(place)) < 0.1:
                when = round(place) * 60 / song.tempo + 1e-6
                chord = song.chords[int(np.searchsorted(starts, when, side="right")) - 1]
                beats, tone = beats + 1, tone + (note.pitch % 12 in chord.pitch_classes)
                if round(place) % song.beats_per_bar == 0:
                    downbeats, root = downbeats + 1, root + (note.pitch % 12 == chord.root)
    return (
        f"{split}: {len(songs)} songs, {len({s.component for s in songs})} components, "
        f"{len({s.progression for s in songs})} progressions, {np.median(rates):.2f} notes/s, "
        f"median pitch {np.median(pitches):.0f}, root on downbeats {root / max(downbeats, 1):.3f}, "
        f"chord tone on beats {tone / max(beats, 1):.3f}"
    )


def main() -> None:
    """Compose everything and print the statistics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--freedoom", type=Path, help="folder of Freedoom MIDI files: makes the human split too")
    parser.add_argument("--work", type=Path, default=Path("compose_work"), help="keeps MMA's output between runs")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the songs to compose (a quick try)")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.freedoom:
        write_bank(DATA / "human.zip", {"human": human_songs(arguments.freedoom)})
    grooves = list_grooves(arguments.work, workers=arguments.workers)
    counts = {split: max(1, int(count * arguments.scale)) for split, count in COUNTS.items()}
    slots = plan_slots(grooves, counts)
    bank: dict[str, list[tuple[dict[str, Any], bytes]]] = {split: [] for split in counts}
    with ProcessPoolExecutor(arguments.workers) as pool:
        done = pool.map(partial(compose_song, folder=arguments.work), slots, chunksize=8)
        for slot, song in zip(slots, tqdm(done, total=len(slots), unit="song"), strict=True):
            if song is not None:
                bank[slot.split].append(song)
    write_bank(DATA / "song_bank.zip", bank)
    for split in SPLITS:
        print(describe(split))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
