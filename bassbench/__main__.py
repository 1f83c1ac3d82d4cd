"""The suite's command line: `python -m bassbench COMMAND` or `bassbench COMMAND`."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from bassbench.errors import exit_on_bad_input

COMMANDS = {
    "score": ("score:Score", "Score a folder of audio files, one a clip."),
    "run": ("score:Run", "Let a system play for every mix, and score what it plays."),
    "compare": ("compare:Compare", "Compare two run folders by paired tests."),
    "report": ("report:Report", "Write results as one page to read and to hear."),
    "list": ("list:List", "List systems, metrics, embedders and datasets."),
    "bank": ("bank:Bank", "List the song bank, or render songs to a folder."),
    "data": ("data:Data", "Check a dataset of stems on disk, write its clips, or shard it."),
    "transcribe": ("transcribe:Transcribe", "Write the notes of a bass as MIDI."),
}
"""Where each command is and what it does: to name them all, none has to be imported, as that takes seconds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command; bad input ends with one line and status 2."""
    with exit_on_bad_input():
        given = sys.argv[1:] if arguments is None else list(arguments)
        commands = {
            name: _command(where) if name in given[:1] else _named(does) for name, (where, does) in COMMANDS.items()
        }
        tyro.extras.subcommand_cli_from_dict(commands, prog="bassbench", description=__doc__, args=given).run()


def _command(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"bassbench.commands.{module}"), name)
    return found


def _named(does: str) -> Callable[..., Any]:
    """What stands for a command that is not the one given."""

    def command() -> None: ...

    command.__doc__ = does
    return command


if __name__ == "__main__":
    main()
