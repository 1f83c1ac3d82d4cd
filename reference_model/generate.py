"""Generate a bass for a mix: `python -m reference_model.generate mix.wav --style bass.wav -o bass.wav`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE, read_audio, write_audio
from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.pretrained import find_device
from reference_model.pipeline import Sampling, load

_SILENCE = 1e-4  # peak, -80 dBFS


@dataclass(frozen=True)
class Options:
    """A stereo bass at 44.1 kHz, exactly as long as the mix."""

    mix: Annotated[Path, tyro.conf.Positional]
    """Audio file without bass: at least 1 s, any common rate, mono or stereo."""
    style: Path | None = None
    """Audio file of a bass whose timbre to take."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write, .wav or .flac (default: beside the mix, as NAME.bass.wav)."""
    steps: int = Sampling.steps
    """DDIM steps; fewer are faster."""
    cfg: float = Sampling.cfg
    """Guidance weight: 1 is the plain model, higher follows the mix more closely."""
    phi: float = Sampling.phi
    """Rescale of the guided estimate, 0 to 1."""
    grounding: float = Sampling.grounding
    """How strongly the style is followed, 0 to 1."""
    seed: int = 0
    """Another seed, another bass."""
    weights: str = "small"
    """Name of shipped weights, or a folder with three .safetensors files."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    threads: int | None = None
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress bar and no summary."""


def generate(options: Options) -> Path:
    """Read, generate, write; returns the path written.

    Raises:
        BadInputError: a file cannot be used, a setting is out of range, or the weights are not there.
    """
    output = options.output or options.mix.with_suffix(".bass.wav")
    if output.suffix.lower() not in (".wav", ".flac"):
        raise BadInputError(f"{output}: can write .wav or .flac, not '{output.suffix}'")
    if output.resolve() in {path.resolve() for path in (options.mix, options.style) if path is not None}:
        raise BadInputError(f"{output}: would overwrite the input; choose another --output")
    sampling = Sampling(steps=options.steps, cfg=options.cfg, phi=options.phi, grounding=options.grounding)
    mix = _sounding(options.mix)
    style = None if options.style is None else _sounding(options.style)[None]
    model = load(options.weights, find_device(options.device))

    with tqdm(total=options.steps, desc="generating", unit="step", disable=options.quiet) as bar:
        bass = model.accompany(
            mix[None], style=style, seeds=[options.seed], sampling=sampling, on_step=lambda _: bar.update()
        )[0]
    write_audio(output, bass, SAMPLE_RATE)
    return output


def _sounding(path: Path) -> np.ndarray:
    audio = read_audio(path)
    if audio.shape[1] < SAMPLE_RATE:
        raise BadInputError(f"{path}: {audio.shape[1] / SAMPLE_RATE:.2f} s long; at least 1 s is needed")
    if max(audio.max(), -audio.min()) < _SILENCE:
        raise BadInputError(f"{path}: is silent; give a file with sound")
    return audio


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        options = tyro.cli(Options, description=__doc__)
        if options.threads is not None:
            if options.threads < 1:
                raise BadInputError(f"threads must be at least 1, got {options.threads}")
            torch.set_num_threads(options.threads)
        output = generate(options)
        if not options.quiet:
            print(f"wrote {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
