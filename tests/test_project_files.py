"""The files that a newcomer meets first agree with one another."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert re.findall(r"^make (\S+) +\S", listed, re.M) == phony.split()


def test_hosted_checks_are_those_that_decide() -> None:
    commands = re.findall(r"^make .*$", (ROOT / ".ci" / "run").read_text(), re.M)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["check-and-test"]["steps"]
    assert commands and [step["run"] for step in steps if "run" in step] == commands


def test_nothing_is_fetched_before_a_commit() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local" and {hook["language"] for hook in repository["hooks"]} == {"system"}


def test_the_version_to_cite_is_the_package_s() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
