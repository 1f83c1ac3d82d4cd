"""What the rendering families sound like: `python -m experiments.data_families` draws results/data_families.png.

One song, plain and by each family alone and by all, as mel spectrograms; and long-term spectra of many renderings. The
seed of a panel is the first in which its family is heard. Needs the families' Debian packages
(`bassbench.songs.families`).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE, loudness_normalise
from bassbench.errors import exit_on_bad_input
from bassbench.hearing.spectrum import log_mel, power_spectrogram
from bassbench.songs.arrangement import arrange
from bassbench.songs.clips import ClipRequest, clip_requests
from bassbench.songs.families import FAMILIES, Production, chosen, perform, sing
from bassbench.songs.song_bank import Song
from bassbench.songs.synths import BASSES
from experiments.figures import headline, panels

_SECONDS = 12.0
_SAMPLES = round(_SECONDS * SAMPLE_RATE)
_SEEDS = 60


@dataclass(frozen=True)
class DataFamilies:
    """Draw what each family does to a song, and the long-term spectra of mixes and basses."""

    output: Path = Path("results/data_families.png")
    song: int = 9
    """Which of the training songs in their fixed shuffle is shown."""
    songs: int = 24
    """Renderings for the long-term spectra."""

    def run(self) -> None:
        """Render and draw.

        Raises:
            BadInputError: a family's package is not installed, or the figure cannot be written.
        """
        everything = chosen(("all",))
        requests = clip_requests("train", max(self.song + 1, self.songs), samples=_SAMPLES)
        song = requests[self.song].song
        shown = {"none": (), **{name: (name,) for name in FAMILIES}, "all": everything}
        mixes = {}
        for name, families in tqdm(shown.items(), "families"):
            clip = ClipRequest(song, _heard_seed(song, name, families), _SAMPLES, families=families).render()
            mixes[name] = clip.bass if name == "synth-bass" else clip.mix
        plain, wide = [], []
        basses: dict[str, list[np.ndarray]] = {}
        for request in tqdm(requests[: self.songs], "spectra"):
            first = request.render()
            plain.append(_long_term(first.mix))
            wide.append(_long_term(dataclasses.replace(request, families=everything).render().mix))
            basses.setdefault("General MIDI", []).append(_long_term(first.bass))
            for seed in range(_SEEDS):
                patch = _production(request.song, seed, ("synth-bass",)).patch
                if patch is not None and len(basses.get(patch.kind, [])) < self.songs // 3:
                    bass = dataclasses.replace(request, seed=seed, families=("synth-bass",)).render().bass
                    basses.setdefault(patch.kind, []).append(_long_term(bass))
                    break
        self._draw(mixes, plain, wide, basses)

    def _draw(
        self,
        mixes: dict[str, np.ndarray],
        plain: list[np.ndarray],
        wide: list[np.ndarray],
        basses: dict[str, list[np.ndarray]],
    ) -> None:
        columns, rows = 5, -(-len(mixes) // 5)
        with panels(self.output, (10.0, 1.5 * rows + 3.2)) as figure:
            grid = figure.add_gridspec(rows + 1, columns, height_ratios=[1.0] * rows + [1.7])
            for index, (name, mix) in enumerate(mixes.items()):
                axes = figure.add_subplot(grid[divmod(index, columns)])
                levels = log_mel(loudness_normalise(mix).mean(axis=0), bands=96) * (10 / np.log(10))
                axes.imshow(levels, origin="lower", aspect="auto", vmin=-25, vmax=45, extent=(0, _SECONDS, 0, 96))
                axes.set_yticks([])
                axes.grid(visible=False)
                axes.set_title(f"{name} (bass)" if name == "synth-bass" else name, loc="left", fontsize=9)
                if index // columns == rows - 1:
                    axes.set_xlabel("seconds")
            frequency = np.fft.rfftfreq(4096, 1 / SAMPLE_RATE)
            left = figure.add_subplot(grid[rows, :3])
            for name, curves, colour in (("none", plain, "0.4"), ("all", wide, "C3")):
                low, middle, high = np.percentile(curves, (10, 50, 90), axis=0)
                left.fill_between(frequency, low, high, color=colour, alpha=0.2, linewidth=0)
                left.plot(frequency, middle, color=colour, label=f"{name}: median and 80 % of {len(curves)} mixes")
            right = figure.add_subplot(grid[rows, 3:])
            for number, name in enumerate(("General MIDI", *BASSES)):
                if name in basses:
                    right.plot(frequency, np.median(basses[name], axis=0), color=f"C{number}", label=name)
            for axes, title in ((left, "Long-term spectra of mixes"), (right, "and of basses")):
                axes.set(xscale="log", xlim=(25, 20_000), ylim=(-70, 5), xlabel="Hz")
                axes.legend(loc="lower left")
                headline(axes, title)
            left.set_ylabel("dB of the loudest third octave")


def _production(song: Song, seed: int, families: tuple[str, ...]) -> Production:
    plan = arrange(song, seed, start=0.0, seconds=_SECONDS)
    return sing(plan, perform(plan, song, seed, families)[1], song, seed, _SECONDS)


def _heard_seed(song: Song, name: str, families: tuple[str, ...]) -> int:
    """The first seed with which a family plays, and is heard well in the mix (the bass, for basses)."""
    heard: dict[str, Callable[[Production], bool]] = {
        "csound": lambda made: bool(made.part_fonts),
        "opl3": lambda made: bool(made.part_fonts),
        "kits": lambda made: made.drum_font is not None,
        "samples": lambda made: bool(made.kit and made.guitar),
        "synth-bass": lambda made: made.patch is not None and made.patch.kind == "subtractive",
        "voice": lambda made: made.voice is not None,
        "tuning": lambda made: abs(made.tuning) > 40,
        "levels": lambda made: made.duck_decibels > 10,
        "mastering": lambda made: bool(made.master and made.master.limit > 6 and made.master.compressor),
    }
    if name == "programs":
        return max(range(_SEEDS), key=lambda seed: _changed_programs(song, seed))
    found = heard.get(name, lambda made: True)
    return next((seed for seed in range(_SEEDS) if found(_production(song, seed, families))), 1)


def _changed_programs(song: Song, seed: int) -> int:
    plan = arrange(song, seed, start=0.0, seconds=_SECONDS)
    changed = perform(plan, song, seed, ("programs",))[0]
    return sum(a.program != b.program for a, b in zip(plan.others, changed.others, strict=True))


def _long_term(audio: np.ndarray) -> np.ndarray:
    """Mean power over time in dB, smoothed over a third of an octave, the loudest at 0."""
    power = power_spectrogram(audio.mean(axis=0)).mean(axis=1)
    bins = np.arange(len(power))
    edges = np.maximum(bins * 2 ** (1 / 6), bins + 1).astype(int), (bins * 2 ** (-1 / 6)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(power)])
    high = np.minimum(edges[0], len(power))
    smooth = 10 * np.log10((total[high] - total[edges[1]]) / (high - edges[1]) + 1e-12)
    return smooth - smooth[2:].max()


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        tyro.cli(DataFamilies, description=__doc__).run()


if __name__ == "__main__":
    main()
