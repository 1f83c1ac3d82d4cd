"""A study's command line in three sizes: the default, `--quick` and `--full`; options change any of them."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tyro

from bassbench.errors import BadInputError

Config = TypeVar("Config")


@dataclass(frozen=True)
class Size:
    """The size of the study, which the other options change."""

    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A first look: minutes on two cores."""
    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The size of the committed results."""


def from_command_line(
    default: Config, *, quick: Config, full: Config, description: str | None, arguments: list[str] | None = None
) -> Config:
    """The configuration that the command line (`arguments`, None: the program's own) asks for.

    Raises:
        BadInputError: two sizes at once.
    """
    given = sys.argv[1:] if arguments is None else arguments
    asked = {"--quick": quick, "--full": full}
    chosen = [config for flag, config in asked.items() if flag in given]
    if len(chosen) > 1:
        raise BadInputError("--quick and --full exclude each other")
    start = chosen[0] if chosen else default

    def options(
        size: Annotated[Size, tyro.conf.OmitArgPrefixes],
        config: Annotated[type(start), tyro.conf.OmitArgPrefixes] = start,  # type: ignore[valid-type]
    ) -> Any:
        return config  # the flags are here for the help and to be taken: the values that they stand for are `start`

    config: Config = tyro.cli(options, args=given, description=description)
    return config
