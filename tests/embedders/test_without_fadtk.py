"""An environment without fadtk: everything but its models works, and those say what to install."""

import ast
import sys
from pathlib import Path

import pytest
from tiny_suite import forget

from bassbench.commands.list import embedders
from bassbench.embedders.registry import find_embedder
from bassbench.errors import BadInputError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def without_fadtk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fadtk", None)
    forget()


def test_its_models_say_what_to_install(without_fadtk: None) -> None:
    with pytest.raises(BadInputError) as caught:
        find_embedder("fadtk:vggish")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("embedder fadtk:vggish needs fadtk: pip install 'bassbench[fadtk]'")


def test_an_unknown_name_is_still_an_unknown_name(without_fadtk: None) -> None:
    with pytest.raises(BadInputError, match="no fadtk embedder 'vgish': did you mean 'vggish'"):
        find_embedder("fadtk:vgish")


def test_they_are_listed_with_what_to_install(without_fadtk: None) -> None:
    table = embedders().set_index("embedder")["what it is"]
    assert table["fadtk:vggish"] == "128 dimensions, pip install 'bassbench[fadtk]'"
    assert "built in" in table["musicnn"]


def test_no_module_imports_it_before_it_is_asked_for() -> None:
    """Nor transformers, which comes with it."""
    for package in ("bassbench", "reference_model", "contrastive", "experiments"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.split(".")[0] for name in names} & {"fadtk", "transformers"}, path
