"""The suite's command line: `python -m bassbench COMMAND` or `bassbench COMMAND`."""

from collections.abc import Callable
from typing import Any

import tyro

from bassbench.bad_input import exit_on_bad_input
from bassbench.bank_command import Bank
from bassbench.data_command import Data

COMMANDS: dict[str, Callable[..., Any]] = {"bank": Bank, "data": Data}


def main() -> None:
    """Parse the command line and run the command; bad input ends with one line and status 2."""
    with exit_on_bad_input():
        tyro.extras.subcommand_cli_from_dict(COMMANDS, description=__doc__).run()


if __name__ == "__main__":
    main()
