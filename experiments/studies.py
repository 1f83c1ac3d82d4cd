"""What every study has: settings, the model, measuring what is missing, a page, and a command line."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm import tqdm

from bassbench.cache import content_hash
from bassbench.errors import BadInputError, check_limits, exit_on_bad_input
from bassbench.files import atomic_path, parse_json, write_text
from bassbench.metrics.progress import phase
from bassbench.metrics.statistics import Interval
from bassbench.results.ownership import alone_in
from bassbench.results.rows import Measurement, Row, RowStore, measured, write_csv
from bassbench.results.table import markdown, table, terminal
from bassbench.songs.clips import ClipRequest
from bassbench.training.pretrained import find_device
from contrastive.encoder import Matcher
from reference_model.loading import load
from reference_model.pipeline import BassAccompaniment, Sampling, networks_hash


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of every study of the reference model."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    seed: int = 0
    """Seed of the noise, all pairing and the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        check_limits(self)

    def model(self) -> BassAccompaniment:
        """The model, once the folder for results can be written.

        Raises:
            BadInputError: the folder cannot be written; unknown device or weights.
        """
        output_folder(self.output)
        return load_model(self.weights, self.device)


@dataclass(frozen=True, kw_only=True)
class BatchSettings(Settings):
    """Of a study that samples several clips at a time."""

    batch_size: int = 8
    """Clips sampled at a time; where seconds are measured it changes them, nothing else."""


@dataclass(frozen=True, kw_only=True)
class WeightSettings(BatchSettings):
    """Of a study in which the model plays at several weights of guidance."""

    cfg: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Guidance weights of the reference model."""
    phi: float = 0.5
    """Rescale of the guided estimate."""
    steps: int = 64
    """DDIM steps."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if len(self.samplings) != len(set(self.samplings)):
            raise BadInputError(f"--cfg takes different numbers, got {' '.join(map(str, self.cfg))}")

    @property
    def samplings(self) -> list[Sampling]:
        """How basses are drawn, at each weight.

        Raises:
            BadInputError: a number of steps, a weight or a rescale that cannot be sampled with.
        """
        return [Sampling(steps=self.steps, cfg=cfg, phi=self.phi) for cfg in self.cfg]


_CARD = "## How it was measured"
Advance = Callable[[], object]
"""Called once for each clip that is done."""


@dataclass(frozen=True)
class Task:
    """One pass over the clips of one system, and the measurements that it makes, in the order of its results."""

    measurements: tuple[Measurement, ...]
    measure: Callable[[Advance], Sequence[Interval]]


@dataclass(frozen=True)
class Measurements:
    """Makes the measurements of one study, which have these fields in common, and the tasks that they belong to."""

    experiment: str
    clips: int
    seed: int
    protocol: Mapping[str, Any]
    special: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Protocols of metrics that are measured otherwise."""

    def of(self, system: str, setting: Mapping[str, Any], metrics: Iterable[str]) -> tuple[Measurement, ...]:
        """One of each metric, in their order."""
        return tuple(
            Measurement(
                experiment=self.experiment,
                system=system,
                setting=dict(setting),
                metric=metric,
                clips=self.clips,
                seed=self.seed,
                protocol=dict(self.special.get(metric, self.protocol)),
            )
            for metric in metrics
        )

    def task(
        self,
        system: str,
        setting: Mapping[str, Any],
        metrics: Iterable[str],
        measure: Callable[[Advance], Sequence[Interval]],
    ) -> Task:
        """One pass that measures these metrics of one system."""
        return Task(self.of(system, setting, metrics), measure)

    def rows(self, tasks: Sequence[Task], folder: Path, *, device: torch.device) -> list[Row]:
        """All rows of the study, the missing ones measured, from its file in the folder for results.

        Raises:
            BadInputError: the file cannot be read or written.
        """
        store = RowStore(folder / f"{self.experiment}.jsonl")
        return measure_missing(tasks, store, device=device.type, what=self.experiment)


def load_model(weights: str, device: str) -> BassAccompaniment:
    """The reference model on a device: "cpu", "cuda", "cuda:1", ..., or "auto" for the GPU if there is one.

    Raises:
        BadInputError: unknown or unavailable device, unknown or damaged weights.
    """
    return load(weights, find_device(device))


def codec_setting(model: BassAccompaniment) -> dict[str, str]:
    """The setting of an anchor that goes through the bass autoencoder."""
    return {"codec": networks_hash(model.bass_autoencoder)}


def matcher_hash(matcher: Matcher) -> str:
    """Eight hexadecimal digits of a matcher's weights."""
    parts: list[bytes | str] = []
    for name, tensor in sorted(matcher.state_dict().items()):
        parts += [name, tensor.detach().cpu().contiguous().numpy().tobytes()]
    return content_hash(*parts)[:8]


def clips_hash(requests: Iterable[ClipRequest]) -> str:
    """Eight hexadecimal digits of the clips of a study."""
    return content_hash(*(request.key for request in requests))[:8]


def clip_seed(seed: int, index: int) -> int:
    """The seed of one clip of a study."""
    return 1_000_000 * seed + index


def in_batches(count: int, size: int) -> Iterator[range]:
    """0 to count - 1 in consecutive ranges of at most `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def output_folder(path: Path) -> Path:
    """Make the folder for results, or say why not, before anything is computed.

    Raises:
        BadInputError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise BadInputError(f"{path}: cannot be used as the folder for results ({error.strerror})") from None
    return path


def refuse_other_pages(page: Path, *, sign: str) -> None:
    """Refuse to write over a page, or a table or figure of its name, that is not of this program.

    Raises:
        BadInputError: there is one, and no page that holds `sign`, words of every page of its kind.
    """
    if page.is_file() and sign in page.read_text(encoding="utf-8", errors="replace"):
        return
    for path in (page.with_suffix(suffix) for suffix in (".md", ".csv", ".png")):
        if path.exists():
            raise BadInputError(f"{path}: is there already, and not as a result of this program; give another --output")


def keep_values(path: Path, values: Any) -> None:
    """Keep what is measured of each clip, as JSON, beside the rows."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values))


def kept_values(path: Path) -> Any:
    """The values kept under `study/key.json` beside the rows `study.jsonl`.

    Raises:
        BadInputError: they are missing or damaged.
    """
    try:
        return parse_json(path.read_text())
    except (OSError, ValueError) as error:
        rows = path.parent.with_suffix(".jsonl").name
        raise BadInputError(f"{path}: cannot read ({error}); move {rows} away and run again") from None


def measure_missing(tasks: Sequence[Task], store: RowStore, *, device: str, what: str) -> list[Row]:
    """Run the tasks whose rows the store lacks; all rows, in the order of the tasks.

    Each task has a bar of its own, since a clip of one takes many times as long as a clip of another; what follows the
    last clip (intervals) has bars of its own too. Each task's rows are on disk before the next begins, so a run that
    was cut off goes on where it was.

    Raises:
        BadInputError: the store cannot be read or written, another run is at it, or the folder holds other tables of
            the study's name.
    """
    if not store.path.exists():
        refuse_other_pages(store.path.with_suffix(".md"), sign=_CARD)
    with alone_in(store.path):
        return _measure_missing(tasks, store, device, what)


def _measure_missing(tasks: Sequence[Task], store: RowStore, device: str, what: str) -> list[Row]:
    known = {row.key for row in store.rows()}
    missing = [task for task in tasks if any(wanted.key not in known for wanted in task.measurements)]
    for number, task in enumerate(missing, 1):
        first = task.measurements[0]
        setting = " ".join(f"{name} {value}" for name, value in first.setting.items() if name != "weights")
        name = f"{what} {number}/{len(missing)}: {first.system} {setting}".strip()
        began = time.perf_counter()
        with tqdm(total=first.clips, desc=name, unit="clip", leave=False) as bar, phase(f"{name}, interval"):
            results = task.measure(bar.update)
        seconds = time.perf_counter() - began
        for wanted, result in zip(task.measurements, results, strict=True):
            if wanted.key not in known:
                row = measured(wanted, result.value, result.low, result.high, seconds=seconds, device=device)
                store.append(row)
    rows = {row.key: row for row in store.rows()}
    return [rows[wanted.key] for task in tasks for wanted in task.measurements]


def with_interval(row: Row, decimals: int = 2) -> str:
    """A row's value and its interval, to be read in a sentence."""
    return f"{row.value:.{decimals}f} [{row.low:.{decimals}f}, {row.high:.{decimals}f}]"


def protocol_card(rows: Iterable[Row]) -> str:
    """How the numbers were made, as Markdown: every protocol among the rows, and the code, libraries and devices."""
    rows = list(rows)
    lines = [_CARD, ""]
    for digest, row in {row.protocol_hash: row for row in rows}.items():
        metrics = list(dict.fromkeys(other.metric for other in rows if other.protocol_hash == digest))
        lines.append(f"Protocol `{digest}` ({', '.join(metrics)}):")
        lines += [f"- {name}: {_card_value(value)}" for name, value in row.protocol.items()]
        lines.append("")
    weights = sorted({row.setting[name] for row in rows for name in ("weights", "codec") if name in row.setting})
    commits, devices = sorted({row.commit for row in rows}), sorted({row.device for row in rows})
    versions = sorted({", ".join(f"{name} {version}" for name, version in row.versions.items()) for row in rows})
    # The rows of one task were measured together and each holds the time of all.
    seconds = sum({row.seconds for row in rows})
    lines.append(f"Weights {', '.join(weights) or 'none'}; commit {', '.join(commits)}; {'; '.join(versions)}.")
    lines.append(f"Measured in {seconds:.0f} s on {', '.join(devices)}.")
    return "\n".join(lines) + "\n"


def _card_value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_card_value(item)}" for name, item in value.items())
    return str(value)


REPRODUCED, PARTLY, NOT = "reproduced", "partly", "not reproduced"
UNTESTED, NOT_MEASURED = "not measured by the paper", "no rows yet"


@dataclass(frozen=True)
class Verdict:
    """What our rows say of a claim of the paper: one of the words above, and the numbers."""

    word: str
    numbers: str = ""


def not_in_the_paper(rows: Sequence[Row]) -> Verdict:
    """A question that the paper does not ask."""
    return Verdict(UNTESTED if rows else NOT_MEASURED)


@dataclass(frozen=True)
class Size:
    """The size of the study, which the other options change."""

    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A first look: minutes on two cores."""
    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The size of the committed results."""


@dataclass(frozen=True)
class Study:
    """What a study is beside what it measures: its command line in three sizes, and what is said of its rows.

    The configurations have `run()`; `--quick` and `--full` choose one, and options change any of them.
    """

    name: str
    """Of its module and its files."""
    question: str
    """Its heading on the page of all studies."""
    title: str
    """Of its own page."""
    default: Any
    quick: Any
    full: Any
    columns: tuple[str, ...]
    """Settings that are columns of its table."""
    notes: str
    """What the numbers mean."""
    findings: Callable[[Sequence[Row]], str] | None = None
    """From its rows to what the paper found and what they say, in words."""
    claim: str = ""
    """What the paper says, "" if it does not ask."""
    verdict: Callable[[Sequence[Row]], Verdict] = not_in_the_paper
    """From its rows to the verdict on that claim."""

    def report(self, rows: Sequence[Row], folder: Path) -> None:
        """Print the table and what was found; write the .md, with figure and protocol card, and the .csv.

        Raises:
            BadInputError: the rows were measured by different protocols, or a file cannot be written.
        """
        frame = table(rows, self.columns)
        findings = self.findings(rows) if self.findings else ""
        said = f"{self.notes.strip()}\n\n{findings}".strip()
        print(f"\n{self.title}\n\n{terminal(frame)}\n")
        figure = f"![{self.title}]({self.name}.png)"
        text = f"# {self.title}\n\n{markdown(frame)}\n{said}\n\n{figure}\n\n{protocol_card(rows)}"
        write_text(folder / f"{self.name}.md", text)
        write_csv(rows, folder / f"{self.name}.csv")
        if findings:
            print(findings)

    def from_command_line(self, description: str | None = None, arguments: list[str] | None = None) -> Any:
        """The configuration that the command line (`arguments`, None: the program's own) asks for.

        Raises:
            BadInputError: two sizes at once.
        """
        given = sys.argv[1:] if arguments is None else arguments
        chosen = [size for flag, size in (("--quick", self.quick), ("--full", self.full)) if flag in given]
        if len(chosen) > 1:
            raise BadInputError("--quick and --full exclude each other")
        start = chosen[0] if chosen else self.default

        def options(
            size: Annotated[Size, tyro.conf.OmitArgPrefixes],
            config: Annotated[type(start), tyro.conf.OmitArgPrefixes] = start,  # type: ignore[valid-type]
        ) -> Any:
            return config  # the flags are here for the help and to be taken: the values that they stand for are `start`

        return tyro.cli(options, args=given, description=description)

    def main(self, description: str | None) -> None:
        """The study's command: `description` is its module's docstring."""
        with exit_on_bad_input():
            self.from_command_line(description).run()
