"""The suite's command line: `python -m bassbench COMMAND` or `bassbench COMMAND`."""

from collections.abc import Callable, Sequence
from typing import Any

import tyro

from bassbench.bad_input import exit_on_bad_input
from bassbench.bank_command import Bank
from bassbench.compare_command import Compare
from bassbench.data_command import Data
from bassbench.list_command import List
from bassbench.report_command import Report
from bassbench.score_command import Run, Score
from bassbench.transcribe_command import Transcribe

COMMANDS: dict[str, Callable[..., Any]] = {
    "score": Score,
    "run": Run,
    "compare": Compare,
    "report": Report,
    "list": List,
    "bank": Bank,
    "data": Data,
    "transcribe": Transcribe,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command; bad input ends with one line and status 2."""
    with exit_on_bad_input():
        tyro.extras.subcommand_cli_from_dict(COMMANDS, description=__doc__, args=arguments).run()


if __name__ == "__main__":
    main()
