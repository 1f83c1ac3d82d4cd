"""The main job on tiny random weights: rows, report, resuming, and one clear line for bad input."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bassbench import embedding_cache
from bassbench.audio import SAMPLE_RATE
from bassbench.bad_input import BadInputError
from bassbench.datasets import ClipRequest
from bassbench.embed import embed
from bassbench.embedding_cache import embed_cached
from bassbench.files import cache_folder
from bassbench.rows import RowStore
from bassbench.song_bank import Song
from experiments import ddim_steps
from experiments.ddim_steps import FAD, GATE, LIMIT, SYSTEM, DDIMSteps
from reference_model import studies
from reference_model.autoencoder import Autoencoder
from reference_model.config import AUTOENCODERS
from reference_model.latents import encoder_hash
from reference_model.pipeline import BassAccompaniment
from reference_model.unet import UNETS, UNet

SAMPLES = 64 * 4096


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    encoders = {}
    for which in ("mix", "bass"):
        coder = Autoencoder(AUTOENCODERS["tiny"][which])
        assert coder.linear is not None
        torch.nn.init.orthogonal_(coder.linear.components)
        coder.linear.readout.normal_(std=0.1)
        coder.feature_mean.fill_(-7.0)
        coder.latent_std.fill_(10.0)
        coder.save_pretrained(folder / f"{which}_autoencoder.safetensors")
        encoders[which] = encoder_hash(Autoencoder.from_pretrained(folder / f"{which}_autoencoder.safetensors"))
    unet = UNet(UNETS["tiny"])
    torch.nn.init.normal_(unet.output.weight, std=0.3)
    unet.save_pretrained(folder / "unet.safetensors", encoders=encoders)
    return folder


@pytest.fixture(autouse=True)
def _made_songs(song: Song, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(10)]
    monkeypatch.setattr(ddim_steps, "clip_requests", lambda split: requests)
    monkeypatch.setattr(ddim_steps, "_REPLICATES", 10)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> DDIMSteps:
    return DDIMSteps(
        clips=4,
        reference_clips=5,
        steps=(1, 2),
        embedder="log-mel",
        weights=str(weights),
        output=tmp_path / "out",
        batch_size=3,
    )


def rows_by_cell(folder: Path) -> dict[tuple[str, int | None, str], float]:
    rows = RowStore(folder / "ddim_steps.jsonl").rows()
    by_cell = {(row.system, row.setting.get("steps"), row.metric): row.value for row in rows}
    assert len(by_cell) == len(rows)
    return by_cell


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: DDIMSteps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.run()
    assert sorted(path.name for path in config.output.iterdir()) == [
        f"ddim_steps.{kind}" for kind in ("csv", "jsonl", "md", "png")
    ]
    cells = rows_by_cell(config.output)
    assert len(cells) == (7 + 2) * 3
    assert cells["real bass", None, FAD] < cells["noise", None, FAD]
    assert cells["real bass", None, FAD] < cells["silence", None, FAD]
    assert cells["bass of another song", None, FAD] == pytest.approx(cells["real bass", None, FAD])
    assert cells["real bass", None, LIMIT] < cells["noise", None, LIMIT]
    assert cells["real bass", None, GATE] == 1 and cells["silence", None, GATE] == 0
    row = RowStore(config.output / "ddim_steps.jsonl").rows()[-1]
    assert row.protocol["FAD"]["embedder"] == "log-mel"
    assert row.setting["steps"] == 2 and row.setting["weights"] in (config.output / "ddim_steps.md").read_text()
    assert row.seconds > 0 and row.device == "cpu"
    report = (config.output / "ddim_steps.md").read_text()
    assert SYSTEM in report and "lufs -23.0" in report and "ddim_steps.png" in report
    assert SYSTEM in capsys.readouterr().out

    written = {path.name: path.read_bytes() for path in config.output.iterdir()}
    for module, name in ((BassAccompaniment, "generate_latents"), (ddim_steps, "cached_clip"), (ddim_steps, "fad")):
        monkeypatch.setattr(module, name, None)
    config.run()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == written


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(
    config: DDIMSteps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, steps=(2,))
    config.run()
    whole = rows_by_cell(config.output)
    cut = dataclasses.replace(config, output=tmp_path / "cut")
    sample, asked = BassAccompaniment.generate_latents, []

    def stops(self: BassAccompaniment, *args: object, **options: object) -> torch.Tensor:
        asked.append(options["sampling"])
        if len(asked) == 2:  # the second batch
            raise KeyboardInterrupt
        return sample(self, *args, **options)

    monkeypatch.setattr(BassAccompaniment, "generate_latents", stops)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert not (cut.output / "ddim_steps.md").exists()
    file = cut.output / "ddim_steps.jsonl"
    file.write_bytes(file.read_bytes() + b'{"experiment": "ddim_st')  # kill -9 while a line was written
    monkeypatch.setattr(BassAccompaniment, "generate_latents", sample)
    monkeypatch.setattr(ddim_steps, "anchor_clips", lambda *_: pytest.fail("the anchors' rows were there"))
    cut.run()
    assert rows_by_cell(cut.output) == pytest.approx(whole)


def test_samples_are_paired_and_do_not_depend_on_the_batch(config: DDIMSteps) -> None:
    model = studies.load_model(config.weights, "cpu")
    model = dataclasses.replace(model, bfloat16=False)
    one = list(ddim_steps.samples(dataclasses.replace(config, batch_size=1), model, 2, SAMPLES))
    many = list(ddim_steps.samples(dataclasses.replace(config, batch_size=4), model, 2, SAMPLES))
    assert [audio.shape for audio in one] == [(2, SAMPLES)] * 4
    for first, second in zip(one, many, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    assert not np.allclose(one[0], one[1], atol=1e-3)


def test_other_weights_are_another_measurement(config: DDIMSteps, weights: Path) -> None:
    model = studies.load_model(str(weights), "cpu")
    before = studies.weights_hash(model)
    assert studies.weights_hash(studies.load_model(str(weights), "cpu")) == before
    with torch.no_grad():
        model.unet.output.weight += 1e-3
    assert studies.weights_hash(model) != before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 3}, "at least 4"),
        ({"clips": 6}, "has 10 songs"),
        ({"steps": ()}, "--steps"),
        ({"steps": (0,)}, "--steps"),
        ({"steps": (2, 2)}, "--steps"),
        ({"batch_size": 0}, "--batch-size"),
        ({"seed": -1}, "--seed"),
        ({"embedder": "nothing"}, "nothing"),
        ({"device": "abacus"}, "abacus"),
        ({"weights": "nothing"}, "nothing"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: DDIMSteps, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
    assert not list(config.output.glob("*"))


def test_an_output_that_is_no_folder_is_refused_before_anything_is_computed(config: DDIMSteps, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="folder for results"):
        dataclasses.replace(config, output=tmp_path / "file").run()


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--clips", "many"], ["--embedder", "nothing"], ["--nothing"]])
def test_the_command_line_ends_with_status_2_on_bad_input(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ddim_steps", "--output", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as ended:
        ddim_steps.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_embeddings_are_computed_once_and_a_damaged_entry_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    audio = np.random.default_rng(0).standard_normal((2, 4 * SAMPLE_RATE)).astype(np.float32)
    fresh = embed(audio, SAMPLE_RATE, "log-mel")
    np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
    (entry,) = cache_folder("embeddings").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "embed", None)
        np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
        with pytest.raises(TypeError):
            embed_cached(audio + 1e-6, "log-mel")
    whole = entry.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        entry.write_bytes(damaged)
        np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
        assert entry.read_bytes() != damaged
