"""Whatever is chosen by name, a slip of the finger is answered with the nearest name, in one way everywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

import contrastive.train
from bassbench.commands.list import List
from bassbench.embedders.registry import find_embedder
from bassbench.errors import BadInputError, unknown_name
from bassbench.metrics.registry import all_measures, chosen
from bassbench.songs.song_bank import load_songs
from bassbench.stems.training_data import training_requests
from bassbench.suite.clip_set import open_clip_set
from bassbench.suite.evaluation import Evaluation, make_plan
from bassbench.suite.systems import load_system
from experiments.all import All
from experiments.ddim_steps import DDIMSteps
from reference_model import load
from reference_model.pipeline import Sampling
from reference_model.train_autoencoder import TrainAutoencoder
from reference_model.train_diffusion import TrainingConfig, resolved

NAMES: dict[str, tuple[Callable[[], object], str]] = {
    "metric": (lambda: chosen(["onset F2"], all_measures()), "onset F1"),
    "the gate": (lambda: chosen(["pases the gate"], all_measures()), "passes the gate"),
    "probe": (lambda: chosen(["match drop (mix swaped)"], all_measures()), "match drop (mix swapped)"),
    "system": (lambda: load_system("root_note"), "root-notes"),
    "class of a module": (lambda: load_system("bassbench.suite.baselines:RotNotes"), "RootNotes"),
    "embedder": (lambda: find_embedder("music-nn"), "musicnn"),
    "fadtk embedder": (lambda: find_embedder("fadtk:vgish"), "vggish"),
    "embedder of a study": (lambda: DDIMSteps(embedder="logmel").validate(), "log-mel"),
    "data": (lambda: open_clip_set("tets"), "test"),
    "split": (lambda: load_songs("validaton"), "validation"),
    "training split": (lambda: training_requests("trian"), "train"),
    "style": (lambda: make_plan(Evaluation(style="owm"), playing=True), "own"),
    "list": (lambda: List("metric").run(), "metrics"),
    "study": (lambda: All(only=("ddim-step",)).validate(), "ddim_steps"),
    "sampler": (lambda: Sampling(sampler="dimm"), "ddim"),
    "weights": (lambda: load("smal"), "small"),
    "autoencoder preset": (lambda: TrainAutoencoder(which="bass", run=Path("runs"), preset="papr").recipe, "paper"),
    "U-Net preset": (lambda: resolved(TrainingConfig(run=Path("runs"), preset="papr")), "paper"),
    "matcher preset": (lambda: contrastive.train.resolved(contrastive.train.TrainingConfig(preset="papr")), "paper"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_slip_is_answered_with_the_nearest_name(kind: str) -> None:
    choose, meant = NAMES[kind]
    with pytest.raises(BadInputError) as caught:
        choose()
    message = str(caught.value)
    assert f"did you mean '{meant}'?" in message and meant in message.split("?", 1)[1], message


def test_what_is_near_nothing_gets_the_choices_alone() -> None:
    assert str(unknown_name("colour", "xyzzy", ["red", "blue"], "or #RRGGBB")) == (
        "no colour 'xyzzy': choose from red, blue, or #RRGGBB"
    )
