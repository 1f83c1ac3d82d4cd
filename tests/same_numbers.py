"""Do two versions of the code give the same numbers?

    python tests/same_numbers.py measure FOLDER   # in a checkout of each version; resumes where it was cut off
    python tests/same_numbers.py compare FOLDER OTHER

`measure` runs the commands of `COMMANDS` with the code of the checkout it stands in: every study at its quick size, a
scored run of the reference model on 12 clips, the same basses scored as a folder, and one generated bass. `compare`
names every value and every audio file that differs by more than 1e-6, and every one that only one side has.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import soundfile

TOLERANCE = 1e-6
CLIPS = 12
COMMANDS = {
    "studies": "-m experiments.all --quick --device cpu --output {folder}/studies",
    "run": f"-m bassbench run reference --data test --clips {CLIPS} --output {{folder}}/run",
    "score": f"-m bassbench score {{folder}}/run/audio --data test --clips {CLIPS} --output {{folder}}/score",
    "mix": "-m bassbench data render test {folder}/song --clips 2",
    "bass": "-m reference_model.generate {mix} --seed 5 -o {folder}/bass.wav",
}


def measure(folder: Path) -> None:
    """Run every command that has not run to its end yet; raises CalledProcessError if one fails."""
    root = Path(__file__).parent.parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        done = folder / f"{name}.done"
        if done.exists():
            continue
        mix = next(iter(sorted((folder / "song").rglob("mix.wav"))), Path("missing"))
        words = command.format(folder=folder.resolve(), mix=mix).split()
        subprocess.run([sys.executable, *words], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
        done.touch()


def values(folder: Path) -> dict[str, float]:
    """Every value and interval of every rows file under a folder, by what was measured; NaN where undefined."""
    found = {}
    for path in sorted(folder.rglob("*.jsonl")):
        for row in _rows(path):
            about = " ".join(str(row[name]) for name in ("experiment", "system", "setting", "metric", "clips"))
            for part in ("value", "low", "high"):
                found[f"{path.relative_to(folder)} {about} {part}"] = math.nan if row[part] is None else row[part]
    return found


def differences(folder: Path, other: Path) -> Iterator[str]:
    """One line for each value, and each audio file, that differs or is missing on one side."""
    ours, theirs = values(folder), values(other)
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            yield f"{name}: only in {folder if name in ours else other}"
        elif not _close(ours[name], theirs[name]):
            yield f"{name}: {ours[name]!r}, {theirs[name]!r}"
    audio = {path.relative_to(side) for side in (folder, other) for path in side.rglob("*.wav")}
    for name in sorted(audio):
        if not (folder / name).exists() or not (other / name).exists():
            yield f"{name}: only in {folder if (folder / name).exists() else other}"
            continue
        (one, rate), (two, other_rate) = (soundfile.read(side / name) for side in (folder, other))
        if rate != other_rate or one.shape != two.shape or abs(one - two).max(initial=0) > TOLERANCE:
            yield f"{name}: the samples differ"


def _close(one: float, two: float) -> bool:
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return abs(one - two) <= TOLERANCE * max(1.0, abs(one))


def _rows(path: Path) -> Iterator[dict]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "experiment" in row:
            yield row


def main() -> int:
    """Command line; 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "compare"))
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    if len(options.folders) != (1 if options.what == "measure" else 2):
        parser.error("measure takes one folder, compare two")
    if options.what == "measure":
        measure(options.folders[0])
        return 0
    lines = list(differences(*options.folders))
    print("\n".join(lines) or f"{len(values(options.folders[0]))} values and all audio agree")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
