"""Which recipe trains best?  Short trainings of variants at one budget, compared on validation songs.

    python -m experiments.recipes

Variants of the bass autoencoder (how the phase is given, residual encoder, critics), of the U-Net (size), and the
paper's own layout from random weights and from the linear path. Every variant is trained by the package's own trainers
in a run folder of its own; run the command again to go on where it was cut off. Differences at so short a budget say
which variant learns faster, not which is best in the end.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
import torch
import tyro

from bassbench.errors import check_limits, exit_on_bad_input
from bassbench.files import parse_json, write_text
from bassbench.results.table import markdown
from bassbench.stems.training_data import training_stems
from experiments.figures import panels
from experiments.studies import output_folder, refuse_other_pages
from reference_model import train_autoencoder, train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.latents import song_latents
from reference_model.presets import PAPER_WEIGHTS, PRESETS, SMALL_WEIGHTS, AutoencoderConfig, Stage
from reference_model.train_diffusion import SHIPPED, TrainingConfig, autoencoder_paths
from reference_model.unet import UNet

NAME = "recipes"
_SMALL, _PAPER = PRESETS["small"].autoencoders["bass"], PRESETS["paper"].autoencoders["bass"]
_PAPER_PCA = dataclasses.replace(
    _PAPER, stack=16, encoder=(), decoder=(Stage(1, 384, 4),), linear_path=True, top_hz=8_300.0, weight_corner_hz=250.0
)
_PREDICTED = {**SMALL_WEIGHTS, "mssd": 0.002}
CODECS: dict[str, tuple[AutoencoderConfig, dict[str, Any]]] = {
    "small": (_SMALL, {}),
    "small, phase predicted directly": (dataclasses.replace(_SMALL, integrate_phase=False), {"weights": _PREDICTED}),
    "small, residual encoder": (dataclasses.replace(_SMALL, encoder=(Stage(1, 224, 2),)), {}),
    "small, critics from the first step": (_SMALL, {"adversarial_start": 0}),
    "paper's layout, random weights": (_PAPER, {"weights": PAPER_WEIGHTS, "adversarial_start": None}),
    "paper's layout, linear path": (_PAPER_PCA, {"weights": _PREDICTED}),
    "paper's layout, linear path, phase integrated": (dataclasses.replace(_PAPER_PCA, integrate_phase=True), {}),
}
"""Configuration, and what differs from the recipe of `small`, of each variant of the bass autoencoder."""
UNET_SIZES = {
    "narrow": dataclasses.replace(PRESETS["small"].unet, widths=(64, 96, 128, 160)),
    "small": PRESETS["small"].unet,
    "wide": dataclasses.replace(PRESETS["small"].unet, widths=(192, 224, 256, 288)),
}
_CODEC_FIELDS = ("pitch_kept", "level_error_db", "log_spectral_distance_db", "log_mel_distance_nat")


@dataclass(frozen=True)
class Recipes:
    """Train every variant for a short while and compare them; writes recipes.csv, .md and .png."""

    codec_steps: int = 200
    """Steps of the bass autoencoder's variants in the `small` layout, batch 8."""
    paper_steps: int = 240
    """Steps of the variants in the paper's layout, batch 4."""
    unet_steps: int = 300
    """Steps of the U-Nets, batch 16."""
    songs: int = 300
    """Training songs, one rendering each."""
    only: str = ""
    """Train only variants whose name contains this."""
    runs: Path = Path("runs/recipes")
    """Folder of the training runs."""
    output: Path = Path("results")
    threads: int = 1

    def run(self) -> None:
        """Train what is missing, then write the table and the figure of all that is there.

        Raises:
            BadInputError: folders that cannot be written.
        """
        steps = "training_steps"
        check_limits(self, codec_steps=steps, paper_steps=steps, unet_steps=steps)
        torch.set_num_threads(self.threads)
        codecs = {name: self._trained(name, self._train_codec) for name in CODECS}
        unets = {name: self._trained(f"U-Net {name}", self._train_unet) for name in UNET_SIZES}
        write(self.output, {k: v for k, v in codecs.items() if v}, {k: v for k, v in unets.items() if v})

    def _trained(self, name: str, train: Callable[[str, Path], None]) -> list[dict[str, Any]]:
        folder = self.runs / "".join(letter if letter.isalnum() else "-" for letter in name)
        if self.only in name:
            train(name, folder)
        log = folder / "log.jsonl"
        return [parse_json(line) for line in log.read_text().splitlines()] if log.exists() else []

    def _train_codec(self, name: str, folder: Path) -> None:
        config, changes = CODECS[name]
        paper = name.startswith("paper")
        recipe = dataclasses.replace(
            PRESETS["small"].autoencoder_recipe,
            steps=self.paper_steps if paper else self.codec_steps,
            batch_size=4 if paper else 8,
            **{"weights": SMALL_WEIGHTS, **changes},
        )
        settings = train_autoencoder.TrainAutoencoder(
            which="bass",
            run=folder,
            preset=name,
            variant=dataclasses.replace(PRESETS["small"], autoencoders={"bass": config}, autoencoder_recipe=recipe),
            clips=self.songs,
            fit_frames=10_240,
            validation_clips=6,
            threads=self.threads,
            validate_every=max(recipe.steps // 4, 1),
            log_every=5,
            checkpoint_every=max(recipe.steps // 20 * 5, 5),
        )
        sources = [
            training_stems(data, "bass", count=count) for data, count in (("train", self.songs), ("validation", 6))
        ]
        train_autoencoder.train(settings, *sources)

    def _train_unet(self, name: str, folder: Path) -> None:
        config = TrainingConfig(
            run=folder,
            preset=name,
            variant=dataclasses.replace(PRESETS["small"], unet=UNET_SIZES[name.removeprefix("U-Net ")]),
            steps=self.unet_steps,
            songs=self.songs,
            validate_every=max(self.unet_steps // 4, 1),
            log_every=5,
            checkpoint_every=max(self.unet_steps // 20 * 5, 5),
            precision="no",  # as the autoencoders: one process has one precision
            mix_autoencoder=SHIPPED / "mix_autoencoder.safetensors",
            bass_autoencoder=SHIPPED / "bass_autoencoder.safetensors",
        )
        coders = [Autoencoder.from_pretrained(path) for path in autoencoder_paths(config)]
        sources = [
            song_latents(data, *coders, songs=count) for data, count in (("train", self.songs), ("validation", 64))
        ]
        train_diffusion.train(config, *sources)


def codec_table(logs: dict[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """The last validation of every variant of the autoencoder."""
    lines = []
    for name, rows in logs.items():
        last = [row for row in rows if "pitch_kept" in row][-1]
        rates = [row["clips_per_second"] for row in rows if "clips_per_second" in row]
        line = {"variant": name, "step": max(row.get("step", 0) for row in rows)}
        lines.append(line | {field: last[field] for field in _CODEC_FIELDS} | {"clips/s": _median(rates)})
    return pd.DataFrame(lines)


def unet_table(logs: dict[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """The last validation loss of every size of the U-Net."""
    lines = []
    for name, rows in logs.items():
        last = [row for row in rows if "validation_loss" in row][-1]
        rates = [row["clips_per_second"] for row in rows if "clips_per_second" in row]
        with torch.device("meta"):
            count = sum(p.numel() for p in UNet(UNET_SIZES[name]).parameters()) / 1e6
        line = {"U-Net": name, "parameters, M": round(count, 1), "step": last["step"]}
        lines.append(line | {"validation v-loss": round(last["validation_loss"], 4), "clips/s": _median(rates)})
    return pd.DataFrame(lines)


_SIGN = "by `python -m experiments.recipes`"


def write(folder: Path, codecs: dict[str, list[dict[str, Any]]], unets: dict[str, list[dict[str, Any]]]) -> None:
    """Tables as Markdown and CSV, curves of pitch kept and spectral distance as a figure.

    Raises:
        BadInputError: the folder cannot be written.
    """
    refuse_other_pages(output_folder(folder) / "recipes.md", sign=_SIGN)
    first, second = codec_table(codecs), unet_table(unets)
    text = (
        "# Which recipe trains best?\n\nShort trainings at one budget (see the steps), measured on validation songs, 6 "
        f"for the\nautoencoders and 64 for the U-Nets, {_SIGN}. One seed, no intervals.\n\n"
        f"{markdown(first.astype(str))}\n{markdown(second.astype(str))}\n"
        "![Pitch kept and spectral distance over training](recipes.png)\n"
    )
    for name, content in (("recipes.md", text), ("recipes.csv", pd.concat([first, second]).to_csv(index=False))):
        write_text(folder / name, content)
    curves = pd.DataFrame(
        [
            {"variant": name, "step": row.get("step", 0), **{field: row[field] for field in _CODEC_FIELDS}}
            for name, rows in codecs.items()
            for row in rows
            if "pitch_kept" in row
        ]
    )
    with panels(folder / "recipes.png", (9, 3.8)) as figure:
        left, right = figure.subplots(1, 2)
        for axis, field, label in (
            (left, "pitch_kept", "voiced frames that keep their pitch"),
            (right, "log_spectral_distance_db", "log-spectral distance, dB"),
        ):
            sns.lineplot(
                curves, x="step", y=field, hue="variant", style="variant", markers=True, ax=axis, legend=axis is right
            )
            axis.set(xlabel="training step", ylabel=label)
        left.set_ylim(0, 1)
        sns.move_legend(right, "center left", bbox_to_anchor=(1.02, 0.5), frameon=False, title="", fontsize=8)


def _median(values: list[float]) -> float:
    return round(float(pd.Series(values).median()), 2) if values else float("nan")


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        tyro.cli(Recipes, description=__doc__).run()


if __name__ == "__main__":
    main()
