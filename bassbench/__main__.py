"""The suite's command line: `python -m bassbench COMMAND` or `bassbench COMMAND`."""

from typing import Annotated

import tyro

from bassbench.bad_input import exit_on_bad_input
from bassbench.bank_command import Bank

COMMANDS = {"bank": Bank}


def main() -> None:
    """Parse the command line and run the command; bad input ends with one line and status 2."""
    commands = tyro.extras.subcommand_type_from_defaults({name: command() for name, command in COMMANDS.items()})
    with exit_on_bad_input():
        tyro.cli(Annotated[commands, tyro.conf.OmitSubcommandPrefixes], description=__doc__).run()


if __name__ == "__main__":
    main()
