"""Metadata files of datasets, read as a mapping or refused with one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bassbench.errors import BadInputError
from bassbench.files import parse_json


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read a JSON or YAML file (by suffix) whose top level is a mapping.

    Raises:
        BadInputError: the file is missing, damaged or something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = parse_json(text) if path.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BadInputError(f"{path}: cannot read the metadata ({reason}); get it again") from None
    if not isinstance(value, Mapping):
        raise BadInputError(f"{path}: expected a mapping of fields, found {type(value).__name__}")
    return value


def entry(values: Any, name: str, kind: type, where: Path) -> Any:
    """The field `name` of a mapping, which must be of `kind`.

    Raises:
        BadInputError: it is missing or of another kind.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get(name), kind):
        raise BadInputError(f"{where}: no field '{name}' of type {kind.__name__} where the layout has one")
    return values[name]
