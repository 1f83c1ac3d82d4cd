"""Generate a bass for a mix: `python -m reference_model.generate mix.wav --style bass.wav -o bass.wav`."""

import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE, audio_blocks, write_audio_blocks
from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.limits import check_limits
from bassbench.own_files import note_written, refuse_foreign
from bassbench.pretrained import find_device
from reference_model.autoencoder import Autoencoder
from reference_model.pipeline import BassAccompaniment, OnStep, Sampling, level_gain, load, output_divisor

_SILENCE = 1e-4  # peak, -80 dBFS
_BLOCK = 2**20  # samples read back at a time


@dataclass(frozen=True)
class Options:
    """A stereo bass at 44.1 kHz, exactly as long as the mix."""

    mix: Annotated[Path, tyro.conf.Positional]
    """Audio file without bass: at least 1 s, any common rate, mono or stereo."""
    style: Path | None = None
    """Audio file of a bass whose timbre to take."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write, .wav or .flac (default: beside the mix, as NAME.bass.wav)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over a file of the default name, whoever made it; -o does so without asking."""
    steps: int = Sampling.steps
    """DDIM steps; fewer are faster."""
    cfg: float = Sampling.cfg
    """Guidance weight: 1 is the plain model, higher follows the mix more closely."""
    phi: float = Sampling.phi
    """Rescale of the guided estimate, 0 to 1."""
    grounding: float = Sampling.grounding
    """How strongly the style is followed, 0 to 1."""
    temperature: float = Sampling.temperature
    """Deviation of the noise that sampling starts from: below 1 more certain, less varied and a little quieter."""
    seed: int = 0
    """Another seed, another bass."""
    weights: str = "small"
    """Name of shipped weights, a folder with three .safetensors files, or org/name@revision on the Hugging Face Hub."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    threads: int | None = None
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compile the U-Net first, which takes a minute or more: pays for many steps or long mixes."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress bar and no summary."""


def generate(options: Options) -> Path:
    """Read, generate, write; returns the path written.

    Raises:
        BadInputError: a file cannot be used, a setting is out of range, the weights are not there, or the file of the
            default name is someone else's.
    """
    check_limits(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    output = options.output or options.mix.with_suffix(".bass.wav")
    if output.suffix.lower() not in (".wav", ".flac"):
        raise BadInputError(f"{output}: can write .wav or .flac, not '{output.suffix}'")
    if output.resolve() in {path.resolve() for path in (options.mix, options.style) if path is not None}:
        raise BadInputError(f"{output}: would overwrite the input; choose another --output")
    if not (options.output or options.overwrite):
        refuse_foreign([output], instead="name it with -o, or give --overwrite")
    sampling = Sampling(
        steps=options.steps,
        cfg=options.cfg,
        phi=options.phi,
        grounding=options.grounding,
        temperature=options.temperature,
    )
    model = load(options.weights, find_device(options.device))
    model = dataclasses.replace(model, compiled=options.compile)
    with tqdm(total=options.steps, desc="generating", unit="step", disable=options.quiet) as bar:
        accompany_file(
            model,
            options.mix,
            output,
            style=options.style,
            seed=options.seed,
            sampling=sampling,
            on_step=lambda _: bar.update(),
        )
    note_written(output)
    return output


def accompany_file(
    model: BassAccompaniment,
    mix: Path,
    output: Path,
    *,
    style: Path | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    on_step: OnStep | None = None,
) -> None:
    """What `BassAccompaniment.accompany` does for one mix, file to file: the memory needed does not grow with audio.

    The decoded bass waits on the disk, beside `output`, until its peak is known.

    Raises:
        BadInputError: a file cannot be read or written, is silent, or is shorter than 1 s.
    """
    samples, rms = _measured(mix)
    if style is not None:
        _measured(style)
    gain = level_gain(np.array(rms))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent) as decoded:
            mix_latent = _encoded(model.mix_autoencoder, mix, gain)
            style_mean = None if style is None else _encoded(model.bass_autoencoder, style).mean(dim=2)
            latent = model.generate_latents(
                mix_latent, seeds=[seed], style_mean=style_mean, sampling=sampling, on_step=on_step
            )
            peak = 0.0
            for piece in model.bass_autoencoder.decode_stream(latent, samples):
                frames = np.ascontiguousarray(piece[0].cpu().numpy().T)
                peak = max(peak, float(frames.max()), -float(frames.min()))
                decoded.write(frames.tobytes())
            decoded.seek(0)
            divisor = output_divisor(gain, np.array(peak, np.float32))
            write_audio_blocks(output, (block / divisor for block in _read_back(decoded)), SAMPLE_RATE)
    except OSError as error:
        raise BadInputError(f"{output}: cannot write ({error})") from None


def _encoded(autoencoder: Autoencoder, path: Path, gain: np.ndarray | float = 1.0) -> Tensor:
    """Latents `(1, dims, frames)` of a file times `gain`."""
    blocks = (torch.from_numpy(block * np.float32(gain))[None] for block in audio_blocks(path))
    return torch.cat(list(autoencoder.encode_stream(blocks)), dim=2)


def _read_back(file: BinaryIO) -> Iterator[np.ndarray]:
    while data := file.read(8 * _BLOCK):
        yield np.frombuffer(data, np.float32).reshape(-1, 2).T


def _measured(path: Path) -> tuple[int, float]:
    """Samples and root mean square of a file at 44.1 kHz; BadInputError if it is silent or shorter than 1 s."""
    samples, square, peak = 0, 0.0, 0.0
    for block in audio_blocks(path):
        samples += block.shape[1]
        square += sum(float(np.vdot(channel, channel)) for channel in block)
        peak = max(peak, float(block.max()), -float(block.min()))
    if samples < SAMPLE_RATE:
        raise BadInputError(f"{path}: {samples / SAMPLE_RATE:.2f} s long; at least 1 s is needed")
    if peak < _SILENCE:
        raise BadInputError(f"{path}: is silent; give a file with sound")
    return samples, math.sqrt(square / (2 * samples))


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        options = tyro.cli(Options, description=__doc__)
        output = generate(options)
        if not options.quiet:
            print(f"wrote {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
