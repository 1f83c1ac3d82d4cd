"""What a system under test is, and systems by name: baselines, plug-ins, `package.module:Class` or `file.py:Class`."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bassbench.cache import content_hash, file_hash
from bassbench.errors import BadInputError, unknown_name
from bassbench.plugins import SYSTEMS, load_plugin, plugins
from bassbench.suite.baselines import BASELINES

_MEMBERS = ("name", "sample_rate", "accompany")


@runtime_checkable
class Accompanist(Protocol):
    """A system under test: gives a bass for a mix."""

    @property
    def name(self) -> str:
        """What tables call the system."""
        ...

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of the audio it takes and gives."""
        ...

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """A bass `(batch, 2, samples)` for mixes `(batch, 2, samples)`, float32, full scale 1.

        `style` `(batch, 2, style samples)` asks for its timbre; a system without that control ignores it. Each clip's
        output depends on its own mix, style and seed alone, whatever else is in the batch.
        """
        ...


def load_system(spec: str, arguments: Sequence[str] = ()) -> Accompanist:
    """Make the system that `spec` names with `arguments` "key=value", values written as in Python.

    What is found may be a class or a function that gives a system, or a system itself.

    Raises:
        BadInputError: unknown or broken, wrong arguments, or what is found is not an `Accompanist`.
    """
    settings = parse_arguments(arguments)
    added = plugins(SYSTEMS)
    if spec in BASELINES:
        found: Any = BASELINES[spec]
    elif spec in added:
        found = load_plugin(added[spec])
    elif ":" in spec:
        found = _imported(spec)
    else:
        raise unknown_name("system", spec, [*BASELINES, *added], "yours as package.module:Class or file.py:Class")
    is_made = not isinstance(found, type) and isinstance(found, Accompanist)
    if is_made and settings:
        raise BadInputError(f"{spec}: is a system already, so it takes no arguments; drop {' '.join(arguments)}")
    system = found if is_made else _made(spec, found, settings)
    missing = [member for member in _MEMBERS if not hasattr(system, member)]
    if missing:
        raise BadInputError(f"{spec}: is not a system, it has no {', '.join(missing)}; see docs/add-a-system.md")
    if not isinstance(system.sample_rate, int) or system.sample_rate < 1:
        raise BadInputError(f"{spec}: sample_rate must be a whole number of Hz, got {system.sample_rate!r}")
    return system


def state_of(system: object, settings: Mapping[str, Any], spec: str = "") -> str:
    """A hash of what can be known of a system without playing: when it differs, what was played before is another's.

    It is of the system's `version`, if it declares one, of the files that its classes are written in, and of the files
    that it is made with. What it fetches or reads on its own is not known.
    """
    classes = system.__mro__ if isinstance(system, type) else type(system).__mro__
    files = [Path(where) for where in dict.fromkeys(map(_written_in, classes)) if where]
    for named in (spec.rpartition(":")[0], *settings.values()):
        if isinstance(named, str) and named:
            with contextlib.suppress(OSError):  # text that cannot be a path
                path = Path(named)
                files += sorted(path.iterdir()) if path.is_dir() else [path]
    hashes = [file_hash(file) for file in dict.fromkeys(file.resolve() for file in files) if file.is_file()]
    return content_hash(str(getattr(system, "version", "")), *hashes)


def _written_in(kind: type) -> str:
    try:
        return inspect.getfile(kind)
    except (TypeError, OSError):  # built in, or made where there is no file
        return ""


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Read "steps=16" as {"steps": 16}; what is not a Python literal is text.

    Raises:
        BadInputError: not of the form key=value, or a key twice.
    """
    settings: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key.isidentifier() or key in settings:
            raise BadInputError(f"system argument '{argument}': expected key=value, each key once")
        try:
            settings[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deep
            settings[key] = text
        if not isinstance(settings[key], str | int | float | bool | None):
            raise BadInputError(f"system argument '{argument}': expected a number, text, True, False or None")
    return settings


def _imported(spec: str) -> Any:
    where, _, name = spec.rpartition(":")
    try:
        module = _module(where)
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        raise BadInputError(f"{spec}: cannot import {where} ({type(error).__name__}: {error})") from error
    if not hasattr(module, name):
        raise unknown_name(f"system in {where}:", name, (one for one, thing in vars(module).items() if callable(thing)))
    return getattr(module, name)


def _module(where: str) -> ModuleType:
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise BadInputError(f"{where}: no such file; give a system as package.module:Class or file.py:Class")
        described = importlib.util.spec_from_file_location(path.stem, path)
        assert described is not None and described.loader is not None
        module = importlib.util.module_from_spec(described)
        sys.modules.setdefault(path.stem, module)
        described.loader.exec_module(module)
        return module
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    return importlib.import_module(where)


def _made(spec: str, make: Any, settings: dict[str, Any]) -> Any:
    if not callable(make):
        raise BadInputError(f"{spec}: is a {type(make).__name__}, expected a class, a function or a system")
    try:
        return make(**settings)
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in settings.items()) or "no arguments"
        raise BadInputError(f"{spec}: cannot be made with {given} ({type(error).__name__}: {error})") from error
