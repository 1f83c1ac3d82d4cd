"""Plug-ins: what other installed packages add to the suite, found by their entry points and loaded when asked for.

A package adds a system with, in its pyproject.toml,

    [project.entry-points."bassbench.systems"]
    my-system = "my_package.module:MySystem"

and metrics, embedders and datasets with the groups of those names. A plug-in that cannot be loaded is named in one
line and takes no other down with it.
"""

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bassbench.errors import BadInputError

SYSTEMS, METRICS, EMBEDDERS, DATASETS = (
    f"bassbench.{kind}" for kind in ("systems", "metrics", "embedders", "datasets")
)


def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, in alphabetical order; of two with one name the first found."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, point)
    return dict(sorted(found.items()))


def load_plugin(point: EntryPoint) -> Any:
    """The object that an entry point stands for.

    Raises:
        BadInputError: it cannot be loaded, whatever its code raised.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise BadInputError(broken(point, error)) from error


def broken(point: EntryPoint, error: BaseException) -> str:
    """One line that names a plug-in and what is wrong with it."""
    package = point.dist.name if point.dist is not None else point.value.split(":")[0]
    said = " ".join(str(error).split())
    return (
        f"plug-in '{point.name}' of {package} ({point.group}) cannot be used ({type(error).__name__}: {said}); "
        f"repair, update or uninstall {package}"
    )


@functools.cache
def warn_once(message: str) -> None:
    """Say something on the error stream, once a process."""
    print("warning: " + " ".join(message.split()), file=sys.stderr)
