"""A study's command line in three sizes: the default, `--quick` and `--full`; options change any of them."""

import argparse
from typing import TypeVar

import tyro

Config = TypeVar("Config")


def from_command_line(
    default: Config, *, quick: Config, full: Config, description: str | None, arguments: list[str] | None = None
) -> Config:
    """The configuration that the command line (`arguments`, None: the program's own) asks for."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    size = flags.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="chosen", action="store_const", const=quick, default=default)
    size.add_argument("--full", dest="chosen", action="store_const", const=full)
    known, rest = flags.parse_known_args(arguments)
    about = f"{description or ''}\n--quick takes minutes on two cores, --full is the size of the committed results."
    return tyro.cli(type(default), default=known.chosen, args=rest, description=about)
