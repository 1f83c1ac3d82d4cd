"""Numbers of commands: one table of limits, the same for all that take them."""

import dataclasses
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from bassbench.__main__ import main
from bassbench.commands.compare import Compare
from bassbench.errors import LIMITS, BadInputError, check_limits
from bassbench.suite.evaluation import Evaluation, make_plan
from contrastive import train as train_matcher
from experiments.match_proof import MatchProof
from experiments.metric_validity import MetricValidity
from experiments.studies import Settings, WeightSettings
from experiments.targets import Evaluate
from reference_model import generate, train_autoencoder, train_diffusion
from reference_model.pipeline import Sampling

RUN = Path("run")
TAKE_SEEDS = {
    "score and run": lambda seed: make_plan(Evaluation(seed=seed, metrics="none"), playing=False),
    "compare": lambda seed: Compare(RUN, RUN, seed=seed).run(),
    "generate": lambda seed: generate.generate(generate.Options(RUN, seed=seed)),
    "studies": lambda seed: Settings(seed=seed).validate(),
    "metric_validity": lambda seed: MetricValidity(seed=seed).validate(),
    "match_proof": lambda seed: MatchProof(seed=seed).validate(),
    "evaluate": lambda seed: Evaluate(seed=seed).validate(),
    "autoencoders": lambda seed: train_autoencoder.check(
        train_autoencoder.TrainAutoencoder(run=RUN, which="mix", seed=seed)
    ),
    "diffusion": lambda seed: train_diffusion.resolved(train_diffusion.TrainingConfig(run=RUN, seed=seed)),
    "matcher": lambda seed: train_matcher.resolved(train_matcher.TrainingConfig(seed=seed)),
}


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize("command", TAKE_SEEDS)
def test_seeds_follow_one_rule(command: str, seed: int) -> None:
    with pytest.raises(BadInputError, match=r"--seed takes 0 to 4294967295, got"):
        TAKE_SEEDS[command](seed)


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_the_commands_of_data_follow_it_too(seed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["bank", "--seed", seed], ["data", "shard", str(tmp_path), str(tmp_path / "out"), "--seed", seed]):
        with pytest.raises(SystemExit):
            main(command)
        assert "error: --seed takes 0 to 4294967295" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 99_999), ("steps", 10_001), ("cfg", 1e30), ("cfg", math.nan), ("temperature", 1e9), ("phi", -0.1)],
)
def test_generate_says_what_it_takes_and_why(
    name: str, value: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate", "mix.wav", f"--{name}", str(value)])
    with pytest.raises(SystemExit) as stopped:
        generate.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and f"error: --{name} takes" in error and LIMITS[name].why in error


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Sampling) if field.name in LIMITS])
def test_sampling_has_the_same_limits(field: str) -> None:
    for value in (LIMITS[field].most * 2, LIMITS[field].least - 1, math.nan):
        with pytest.raises(BadInputError, match=f"^{field} takes"):
            Sampling(**{field: value})


def test_bounds_are_included_and_each_of_a_tuple_counts() -> None:
    for seed in (0, 2**32 - 1):
        check_limits(Settings(seed=seed))
        np.random.default_rng(seed)
    with pytest.raises(BadInputError, match="--cfg takes -100 to 100, got 101"):
        check_limits(WeightSettings(cfg=(1.0, 101.0)))


@pytest.mark.parametrize(
    "changes",
    [{"threads": 99_999}, {"processes": 0}, {"batch_size": 10**9}, {"steps": 0}, {"learning_rate": math.nan}],
)
def test_trainers_have_limits(changes: dict) -> None:
    (name,) = changes
    for make in (
        lambda: train_diffusion.resolved(train_diffusion.TrainingConfig(run=RUN, **changes)),
        lambda: train_matcher.resolved(train_matcher.TrainingConfig(**changes)),
        lambda: train_autoencoder.check(train_autoencoder.TrainAutoencoder(run=RUN, which="mix", **changes)),
    ):
        with pytest.raises(BadInputError, match=f"--{name.replace('_', '-')} takes"):
            make()


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e-9", "1e30", "-3"])
def test_seconds_of_commands(seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["report", "x", "--seconds", seconds],
        ["data", "shard", str(tmp_path), "out", "--seconds", seconds],
    ):
        with pytest.raises(SystemExit):
            main(command)
        assert "error: --seconds takes 1 to" in capsys.readouterr().err


def test_only_the_extra_that_pins_old_numpy_limits_python() -> None:
    tomllib = pytest.importorskip("tomllib")
    requirements = importlib.import_module("packaging.requirements")
    specifiers = importlib.import_module("packaging.specifiers")
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    taken = specifiers.SpecifierSet(project["requires-python"])
    assert [minor for minor in range(8, 16) if f"3.{minor}" in taken] == [10, 11, 12, 13, 14, 15]
    needed = {need.name: need for need in map(requirements.Requirement, project["dependencies"])}
    assert "2.4.6" in needed["numpy"].specifier and "3.1.1" in needed["pandas"].specifier
    assert "fadtk" not in needed
    (fadtk,) = map(requirements.Requirement, project["optional-dependencies"]["fadtk"])
    # It needs numpy < 2, whose last release, 1.26, has wheels for 3.9 to 3.12.
    assert [minor for minor in range(10, 15) if fadtk.marker.evaluate({"python_version": f"3.{minor}"})] == [10, 11, 12]
