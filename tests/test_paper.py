"""The page that leads from the paper to the code: what it names is there, and the code cites sections that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "paper.md").read_text()
PACKAGES = ("bassbench", "reference_model", "contrastive", "experiments")
REFERENCES = sorted(set(re.findall(rf"`((?:{'|'.join(PACKAGES)})/[^`]+)`", PAGE)))


def _named(body: list[ast.stmt], name: str) -> ast.stmt | None:
    """The definition of a function, class or variable among statements."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    return None


def _value(expression: ast.expr) -> object:
    """Of an expression of literals."""
    return eval(compile(ast.Expression(expression), "", "eval"), {"__builtins__": {}})


def check(reference: str, root: Path = ROOT) -> None:
    """Fail unless `file`, `file:symbol`, `file:dict["key"]` or `file:symbol = value` is what the source says."""
    place, _, stated = reference.partition(" = ")
    path, _, symbol = place.partition(":")
    assert (root / path).is_file(), f"{reference}: no such file"
    symbol, _, key = symbol.partition("[")
    if not symbol:
        return
    node, body = None, ast.parse((root / path).read_text()).body
    for name in symbol.split("."):
        node = _named(body, name)
        assert node is not None, f"{reference}: no {name} there"
        body = node.body if isinstance(node, ast.ClassDef) else []
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if key:
        assert isinstance(value, ast.Dict), f"{reference}: not a dict"
        assert ast.literal_eval(key.rstrip("]")) in [getattr(k, "value", None) for k in value.keys], reference
    if stated:
        assert value is not None, f"{reference}: it has no value there"
        expected = _value(ast.parse(stated, mode="eval").body)
        assert _value(value) == expected, f"{reference}: it is {ast.unparse(value)}"


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_the_page_names_is_in_the_code(reference: str) -> None:
    check(reference)


def test_a_wrong_reference_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("SIZES = {'small': 1}\nclass C:\n    x: int = 2**3\n    def f(self): pass\n")
    for right in ("a.py", "a.py:C.f", "a.py:C.x = 8", 'a.py:SIZES["small"]'):
        check(right, tmp_path)
    for wrong in ("b.py", "a.py:f", "a.py:C.g", "a.py:C.x = 9", "a.py:C.f = 8", 'a.py:SIZES["large"]'):
        with pytest.raises(AssertionError):
            check(wrong, tmp_path)


def test_the_page_covers_every_section_that_the_code_cites() -> None:
    headings = set(re.findall(r"^## (\d(?:\.\d)?) ", PAGE, re.M))
    assert headings == {"3.1", "3.2", "3.3", "3.4", "4", "5"}
    cited = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        cited |= set(re.findall(r"(?:\(paper|2402\.01412\)?), section (\d(?:\.\d)?)", path.read_text()))
    assert cited and cited <= headings


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} leads to {target}"
