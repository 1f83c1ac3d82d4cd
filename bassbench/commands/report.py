"""`bassbench report`: results as one page to read, to hear and to send."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bassbench.errors import BadInputError, check_limits
from bassbench.report.examples import run_examples
from bassbench.report.notes import metric_notes
from bassbench.report.page import write_report
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.results.rows import Row, RowStore
from bassbench.suite.run_folder import CONFIG, ROWS

LICENCES = {
    "bassbench": "MIT",
    "song bank (audio of its clips)": "arrangements GPL-2 or later, Freedoom pieces BSD, rendered with the TimGM6mb "
    "SoundFont (GPL-2)",
    "MusiCNN weights": "ISC",
    "reference model and matcher weights": "MIT",
    "audio of systems and data from elsewhere": "as their owners say",
}


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page: tables with anchors, figures, players, protocols, versions, licences."""

    results: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders of `bassbench score` and `run`, folders of a study's results, or .jsonl files of rows."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page (default: report.html)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over a report.html, whoever made it; -o does so without asking."""
    title: str | None = None
    """Its heading (default: the names of the results)."""
    examples: int = 6
    """Clips to listen to, the first in the data's own order; 0 for none."""
    seconds: float = 24.0
    """The most of each clip; less where the page would grow beyond 15 MB."""
    figures: tuple[Path, ...] = ()
    """More figures: png, svg or jpg. Those of a study's results are taken along."""

    def run(self) -> None:
        """Read the results and write the page.

        Raises:
            BadInputError: an option or a result cannot be used, or the page cannot be written.
        """
        if not self.results:
            raise BadInputError("nothing to report; give run folders, or files of rows")
        check_limits(self)
        output = self.output or Path("report.html")
        if output.suffix.lower() not in (".html", ".htm"):
            raise BadInputError(f"{output}: a report is an .html file")
        if not (self.output or self.overwrite):
            refuse_foreign([output], instead="name it with -o, or give --overwrite")
        rows: list[Row] = []
        figures: list[Path] = []
        runs: list[Path] = []
        for path in dict.fromkeys(self.results):
            files = rows_files(path)
            found = [row for file in files for row in RowStore(file).rows()]
            if not found:
                raise BadInputError(f"{path}: no result rows in it; let the run or study finish first")
            rows += found
            figures += [figure for file in files if (figure := file.with_suffix(".png")).is_file()]
            if (path / CONFIG).is_file():
                runs.append(path)
        write_report(
            output,
            rows,
            run_examples(runs, self.examples) if self.examples else [],
            title=self.title or ", ".join(path.resolve().stem.replace("_", " ") for path in self.results),
            figures=[*figures, *self.figures],
            metrics=metric_notes(),
            licences=LICENCES,
            seconds=self.seconds,
        )
        note_written(output)
        print(f"{output}: {len(rows)} results, {output.stat().st_size / 1e6:.1f} MB")


def rows_files(path: Path) -> list[Path]:
    """Where the rows of a result are: of a run folder its summary, of another folder every .jsonl file.

    Raises:
        BadInputError: no such file or folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadInputError(f"{path}: no such file or folder of results")
    return [path / ROWS] if (path / CONFIG).is_file() else sorted(path.glob("*.jsonl"))
