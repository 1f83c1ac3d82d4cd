"""The files that a newcomer meets first agree with one another."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from bassbench.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert re.findall(r"^make (\S+) +\S", listed, re.M) == phony.split()


def test_hosted_checks_are_those_that_decide() -> None:
    commands = re.findall(r"^make .*$", (ROOT / ".ci" / "run").read_text(), re.M)
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["check-and-test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]  # with fadtk and without
    assert commands and [step["run"] for step in job["steps"] if "run" in step] == commands


def test_nothing_is_fetched_before_a_commit() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local" and {hook["language"] for hook in repository["hooks"]} == {"system"}


def test_the_version_to_cite_is_the_package_s() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_commands_exist(page: Path) -> None:
    text = page.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    modules = set(re.findall(r"(?:python -m|launch -m|-m --) ([a-z_]+(?:\.[a-z_]+)*)", text)) - {"pip", "pytest"}
    assert [module for module in modules if find_spec(module) is None] == []
    commands = re.findall(r"(?:`|python -m )bassbench ([a-z]+)", text)
    assert [command for command in commands if command not in COMMANDS] == []


def test_every_command_and_study_is_on_the_page_of_commands() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"`bassbench {name}" not in text] == []
    entries = (
        path for path in (ROOT / "experiments").glob("*.py") if '\nif __name__ == "__main__"' in path.read_text()
    )
    assert [path.stem for path in entries if f"experiments.{path.stem}`" not in text] == []


def test_the_readme_is_a_door_and_not_the_house() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 65
