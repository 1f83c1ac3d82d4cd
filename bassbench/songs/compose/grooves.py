"""The groove library of MMA (Musical MIDI Accompaniment): which grooves have a usable bass, which are twins.

A maintainer's tool: needs the `mma` program and its library.
"""

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from bassbench.songs.compose.bass_line import BASS_PROGRAMS, monophonic, simultaneous_share

LIBRARY = Path("/usr/share/mma/lib")
PROBE_BARS = 16
_DEFINITION = re.compile(r"^\s*DefGroove\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_SPECIAL = re.compile(r"intro|end|fill|break|stop|tag|riff|final|count|\bF[A-D]$|sty$", re.IGNORECASE)


@dataclass(frozen=True)
class Groove:
    """A groove and what a probe of it showed.

    `kind` is "main", "intro", "fill" or "end"; `patterns` maps each bar of bass onsets (positions in twelfths
    of a beat) to how often it came; `density` is bass notes a beat; `simultaneous` the share of bass notes
    that are chords; `others` the number of other parts.
    """

    file: str
    name: str
    kind: str
    beats_per_bar: int
    patterns: dict[tuple[int, ...], int]
    density: float
    simultaneous: float
    others: int

    @property
    def reference(self) -> str:
        """How a song names the groove."""
        return f"{self.file}:{self.name}"


def run_mma(text: str, folder: Path) -> Path | None:
    """Compose `text` into a MIDI file in `folder`, named by the text's hash (kept between runs)."""
    stem = hashlib.sha256(text.encode()).hexdigest()[:24]
    target = folder / f"{stem}.mid"
    if target.exists():
        return target if target.stat().st_size else None
    source = folder / f"{stem}.mma"
    source.write_text(text)
    command = ["mma", "-w", "-xNOCREDIT", "-f", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    source.unlink()
    (folder / f"{stem}.txt").write_text(done.stdout)
    if done.returncode or not target.exists():
        target.write_bytes(b"")
        return None
    return target


def doubling_share(notes: Sequence[Any], bass: Sequence[Any]) -> float:
    """Share of notes that start with a bass note (within 40 ms) of the same pitch class."""
    if not notes or not bass:
        return 0.0
    starts = np.array([note.start for note in bass])
    doubled = [
        any(bass[i].pitch % 12 == note.pitch % 12 for i in np.flatnonzero(np.abs(starts - note.start) < 0.04))
        for note in notes
    ]
    return float(np.mean(doubled))


def split_bass(midi: pretty_midi.PrettyMIDI, bar: float) -> tuple[list[pretty_midi.Note], list[pretty_midi.Instrument]]:
    """The bass notes and the other instruments of a composed song; `bar` is a bar's length in seconds.

    Bass and walk tracks with a bass program come first; in bars where they rest, a lone low line on another
    program (piano, tuba) is the bass. Other low lines and doublings of the bass are dropped, so that the mix
    holds no second bass; what remains of MMA's bass tracks is guitar and horn figures, renamed "riff".
    """
    notes: dict[int, list[pretty_midi.Note]] = {}
    sources: dict[int, tuple[bool, float]] = {}
    others = []
    for index, track in enumerate(midi.instruments):
        role = re.split(r"[-\s]", track.name.lower())[0]
        if track.is_drum or not track.notes or role not in ("bass", "walk"):
            if track.is_drum or track.program not in BASS_PROGRAMS:
                others.append(track)
            continue
        median = float(np.median([note.pitch for note in track.notes]))
        proper = track.program in BASS_PROGRAMS and median <= 55
        if proper or (median <= 57 and simultaneous_share(track.notes) <= 0.3):
            notes[index], sources[index] = track.notes, (not proper, median)
        elif track.program not in BASS_PROGRAMS and median > 48:
            track.name = "riff"
            others.append(track)
    chosen: list[pretty_midi.Note] = []
    ranked = sorted(sources, key=lambda index: sources[index])
    taken: set[int] = set()
    for index in ranked:
        bars = {int((note.start + 0.1) / bar) for note in notes[index]} - taken
        chosen += [note for note in notes[index] if int((note.start + 0.1) / bar) in bars]
        taken |= bars
    return chosen, [track for track in others if track.is_drum or doubling_share(track.notes, chosen) <= 0.6]


def _probe_text(reference: str) -> str:
    chords = ["C", "F", "G7", "Am"]
    bars = [f"{bar + 1} {chords[bar % 4]}" for bar in range(PROBE_BARS)]
    return "\n".join(["RndSeed 1", "Tempo 120", f"Groove {reference}", "Print meter $_Time", *bars]) + "\n"


def _kind(name: str) -> str:
    lower = name.lower()
    for kind, words in (
        ("intro", ("intro", "count")),
        ("fill", ("fill", "break", "riff")),
        ("end", ("end", "final", "tag")),
    ):
        if any(word in lower for word in words):
            return kind
    return "other" if _SPECIAL.search(name) else "main"


def probe(reference: str, folder: Path) -> Groove | None:
    """Compose sixteen bars with a groove and look at its bass; None where it fails or is not 3/4 or 4/4."""
    path = run_mma(_probe_text(reference), folder)
    if path is None:
        return None
    printed = re.search(r"meter ([\d.]+)", path.with_suffix(".txt").read_text())
    beats_per_bar = float(printed.group(1)) if printed else 0.0
    if beats_per_bar not in (3.0, 4.0):
        return None
    bar = beats_per_bar * 0.5
    notes, others = split_bass(pretty_midi.PrettyMIDI(str(path)), bar)
    share = simultaneous_share(notes)
    line = monophonic(notes)
    onsets: dict[int, set[int]] = {}
    for note in line:
        position = round(note.start / bar * beats_per_bar * 12)
        index, place = divmod(position, int(beats_per_bar * 12))
        onsets.setdefault(index, set()).add(place)
    patterns = Counter(tuple(sorted(onsets.get(index, ()))) for index in range(PROBE_BARS))
    file, name = reference.split(":")
    return Groove(
        file=file,
        name=name,
        kind=_kind(name),
        beats_per_bar=int(beats_per_bar),
        patterns=dict(patterns),
        density=len(line) / (PROBE_BARS * beats_per_bar),
        simultaneous=share,
        others=len({track.name for track in others}),
    )


def list_grooves(folder: Path, *, workers: int = 2, library: Path = LIBRARY) -> list[Groove]:
    """Probe every groove of the library; `folder` keeps the probes' MIDI between runs."""
    references = []
    for path in sorted(library.glob("*/*.mma")):
        names = dict.fromkeys(_DEFINITION.findall(path.read_text(errors="replace")))
        references += [f"{path.parent.name}/{path.stem}:{name}" for name in names]
    with ProcessPoolExecutor(workers) as pool:
        probed = pool.map(probe, references, [folder] * len(references), chunksize=8)
        return [groove for groove in probed if groove is not None]


def main_grooves(grooves: Sequence[Groove]) -> list[Groove]:
    """The grooves a song can stand on: a bass line in nearly every bar, and two other parts."""
    return [
        groove
        for groove in grooves
        if groove.kind == "main"
        and groove.simultaneous <= 0.3
        and groove.patterns.get((), 0) <= PROBE_BARS // 8
        and 0.2 <= groove.density <= 4.1
        and groove.others >= 2
    ]


def components(grooves: Sequence[Groove], *, threshold: float = 0.6) -> dict[str, str]:
    """Component of every groove file: files are joined where their sets of bass bars have Jaccard >= threshold.

    Songs of joined files would share rhythms, so a component never crosses a split.
    """
    bars: dict[str, set[tuple[int, ...]]] = {}
    for groove in grooves:
        bars.setdefault(groove.file, set()).update(pattern for pattern in groove.patterns if pattern)
    files = sorted(bars)
    parent = {file: file for file in files}

    def root(file: str) -> str:
        while parent[file] != file:
            file = parent[file]
        return file

    for index, first in enumerate(files):
        for second in files[index + 1 :]:
            union = len(bars[first] | bars[second])
            if union and len(bars[first] & bars[second]) / union >= threshold:
                low, high = sorted((root(first), root(second)))
                parent[high] = low
    return {file: root(file) for file in files}


def without_twins(grooves: Sequence[Groove], against: Sequence[Groove], threshold: float = 0.6) -> list[Groove]:
    """Grooves whose set of bass bars matches none of `against` (Jaccard >= threshold, groove by groove).

    Files may differ as wholes and still share a groove; held-out splits go without such grooves.
    """
    known = [set(groove.patterns) - {()} for groove in against]
    kept = []
    for groove in grooves:
        bars = set(groove.patterns) - {()}
        if all(len(bars & other) < threshold * len(bars | other) for other in known):
            kept.append(groove)
    return kept
