"""What is wrong with a dataset: every file is decoded once, block by block, and nothing that it holds stops the check.

Faults make a file unusable: missing, not audio, cut short, empty, more than two channels, NaN or Inf. Notes do not:
silence, stems of different lengths, content that occurs twice, tracks without a bass, files that are left out, MIDI
that cannot be read (the audio can be used without its notes).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import file_hash
from bassbench.errors import BadInputError
from bassbench.metrics.gate import GateLimits
from bassbench.stems.files import AudioHeader, read_header
from bassbench.stems.layouts import StemDataset
from bassbench.stems.track import BASS, Track
from bassbench.stems.windows import midi_notes

_BLOCK_FRAMES = 1 << 18
_LENGTHS_AGREE = 0.1  # seconds: encoders pad


@dataclass(frozen=True)
class FileReport:
    """One file decoded to its end: header, digest of its samples, whether it is silent, and its fault ("" if none)."""

    path: Path
    header: AudioHeader | None
    digest: str
    silent: bool
    fault: str


@dataclass(frozen=True)
class DatasetReport:
    """What a check found; the dataset is usable if there is no fault and something to train on or to score."""

    dataset: StemDataset
    files: tuple[FileReport, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Layout, tracks, hours, rates and channels, one a line."""
        headers = [report.header for report in self.files if report.header]
        hours = sum(_hours(track, self.files) for track in self.dataset.tracks)
        splits = Counter(track.split for track in self.dataset.tracks if track.split)
        by_split = f" ({', '.join(f'{name} {count}' for name, count in sorted(splits.items()))})" if splits else ""
        return "\n".join(
            [
                f"layout    {self.dataset.layout}",
                f"tracks    {len(self.dataset)}{by_split}, {len(self.dataset.pairs)} with bass and mix, {hours:.2f} h",
                f"files     {len(self.files)}",
                f"rates     {_counted(f'{header.rate} Hz' for header in headers)}",
                f"channels  {_counted(str(header.channels) for header in headers)}",
                f"formats   {_counted(header.subtype for header in headers)}",
            ]
        )


def check_file(path: Path) -> FileReport:
    """Decode a file to its end in bounded memory; whatever it is, a report comes back."""
    try:
        header = read_header(path)
    except BadInputError as error:
        return FileReport(path, None, "", False, str(error))
    digest, decoded, power, finite = hashlib.sha256(str(header.channels).encode()), 0, 0.0, True
    try:
        with soundfile.SoundFile(path) as file:
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                digest.update(block.tobytes())
                decoded += len(block)
                finite = finite and bool(np.isfinite(block).all())
                power = max(power, float(np.square(block, dtype=np.float64).mean())) if finite else power
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        return FileReport(path, header, "", False, f"{path}: damaged after {decoded / header.rate:.1f} s ({error})")
    silent = finite and power <= 10 ** (GateLimits().silent_db / 10)
    fault = ""
    if not decoded:
        fault = f"{path}: holds no samples"
    elif header.channels > 2:
        fault = f"{path}: {header.channels} channels; fold it down to stereo first"
    elif not finite:
        fault = f"{path}: holds NaN or Inf; export it again"
    elif decoded < header.frames:
        fault = f"{path}: cut short after {decoded / header.rate:.1f} s; copy or download it again"
    return FileReport(path, header, digest.hexdigest(), silent, fault)


def check_dataset(dataset: StemDataset, progress: Callable[[list[Path]], Iterable[Path]] = iter) -> DatasetReport:
    """Check every file of a dataset once; `progress` may wrap the list of files, as tqdm does."""
    paths = sorted({path for track in dataset.tracks for path in track.files})
    files = {path: check_file(path) for path in progress(paths)}
    faults = [*dataset.problems, *(report.fault for report in files.values() if report.fault)]
    if not dataset.pairs and any(BASS in track.stems for track in dataset.tracks):
        faults.append(f"{dataset.path}: no track has both a bass and another stem")
    notes = [note for track in dataset.tracks for note in _track_notes(track, dataset, files)]
    notes += [fault for track in dataset.tracks for paths in track.midi.values() for fault in _midi_faults(paths)]
    same = defaultdict(list)
    for report in files.values():
        if not (report.fault or report.silent):
            same[report.digest].append(report.path)
    notes += [f"{group[0]}: same content as {', '.join(map(str, group[1:]))}" for group in same.values() if group[1:]]
    return DatasetReport(dataset, tuple(files.values()), tuple(faults), tuple(notes))


def _track_notes(track: Track, dataset: StemDataset, files: dict[Path, FileReport]) -> list[str]:
    reports = [files[path] for path in track.files]
    notes = [f"{track.name}: {note}" for note in track.notes]
    notes += [f"{report.path}: silent" for report in reports if report.silent and not report.fault]
    if BASS not in track.stems and any(BASS in other.stems for other in dataset.tracks):
        notes.append(f"{track.name}: no bass; used for mixes only")
    if BASS in track.stems and not track.others:
        notes.append(f"{track.name}: nothing but bass; used for bass only")
    lengths = {report.header.frames / report.header.rate for report in reports if report.header and not report.fault}
    if lengths and max(lengths) - min(lengths) > _LENGTHS_AGREE:
        notes.append(
            f"{track.name}: stems of {min(lengths):.1f} to {max(lengths):.1f} s; the short ones end in silence"
        )
    return notes


def _midi_faults(paths: Iterable[Path]) -> list[str]:
    faults = []
    for path in paths:
        try:
            midi_notes(path, file_hash(path))
        except BadInputError as error:
            faults.append(str(error))
    return faults


def _hours(track: Track, files: tuple[FileReport, ...]) -> float:
    own = set(track.files)
    lengths = [report.header.samples for report in files if report.path in own and report.header]
    return max(lengths, default=0) / SAMPLE_RATE / 3600


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    return ", ".join(f"{value}: {count}" for value, count in counts.most_common()) or "none"
