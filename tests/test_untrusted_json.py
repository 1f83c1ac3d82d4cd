"""JSON from files: whatever is wrong with it is one clear line, however deep it is nested."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bassbench.errors import BadInputError
from bassbench.files import parse_json
from bassbench.results.rows import RowStore
from bassbench.stems.files import read_mapping
from bassbench.suite.run_folder import CONFIG, VALUES, ClipRowStore, read_config, read_values
from bassbench.suite.systems import parse_arguments
from experiments.studies import kept_values
from experiments.throughput import read

DEEP = "[" * 200_000
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rows": ("rows.jsonl", lambda path: RowStore(path).rows()),
    "clip rows": ("clips.0.jsonl", lambda path: ClipRowStore(path.parent).read()),
    "config": (CONFIG, lambda path: read_config(path.parent)),
    "values": (VALUES, lambda path: read_values(path.parent)),
    "metadata": ("metadata.json", read_mapping),
    "YAML": ("metadata.yaml", read_mapping),
    "a study's values": ("study/key.json", kept_values),
    "benchmarks": ("benchmarks.json", read),
}


@pytest.mark.parametrize("text", [DEEP, "[]", "5", "{", '{"a": 1}', ""])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_the_format_is_one_line(reader: str, text: str, tmp_path: Path) -> None:
    name, what = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    fine = {"metadata": ('{"a": 1}',), "YAML": ('{"a": 1}',), "a study's values": ("[]", "5", '{"a": 1}')}
    lines = {"rows", "clip rows", "values"}  # an empty line is none
    if text in fine.get(reader, ()) or (not text and reader in lines):
        what(path)
        return
    with pytest.raises(BadInputError, match=name.rpartition("/")[2]) as error:
        what(path)
    assert "Traceback" not in str(error.value)


def test_a_value_is_what_json_says_and_depth_is_a_value_error() -> None:
    assert parse_json(b'{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json(DEEP)
    assert parse_arguments([f"key={DEEP}"]) == {"key": DEEP}  # text that is no number
