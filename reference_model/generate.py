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

from bassbench.audio import SAMPLE_RATE, audio_blocks, read_audio, write_audio_blocks
from bassbench.commands.transcribe import RATE as TRANSCRIPTION_RATE
from bassbench.commands.transcribe import read_mono, write_midi
from bassbench.errors import BadInputError, check_limits, exit_on_bad_input
from bassbench.hearing.transcription import transcribe
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.songs.arrangement import BASS_PROGRAMS
from bassbench.training.pretrained import find_device
from reference_model.conditions import Conditions, even_beats, found_beats, read_chords, read_notes, read_rhythm
from reference_model.loading import load
from reference_model.pipeline import BassAccompaniment, EncodedMix, Limiter, Sampling

_SILENCE = 1e-4  # peak, -80 dBFS
_BLOCK = 2**20  # samples read back at a time
_SHARE_DONE = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"  # of samples, whose number says nothing


@dataclass(frozen=True)
class Options:
    """A stereo bass at 44.1 kHz, exactly as long as the mix."""

    mix: Annotated[Path, tyro.conf.Positional]
    """Audio file without bass: at least 1 s, any common rate, mono or stereo."""
    style: Path | None = None
    """Audio file of a bass whose timbre to take."""
    notes: Path | None = None
    """MIDI file of a line to play, E1 to G4, one note at a time; where it has no note the bass is silent."""
    chords: str | None = None
    """Chords to keep to, such as "Am F | C G": bars between "|", chords in a bar equally long, from the first beat on
    and over and over to the end."""
    rhythm: Path | None = None
    """MIDI file that says when notes begin, of any pitch and instrument."""
    bpm: float | None = None
    """Tempo of a mix that begins with a beat, to count the bars of --chords (default: beats found in the mix)."""
    beats_per_bar: int = 4
    """Beats in a bar of --chords."""
    span: tuple[float, float] | None = None
    """From which second to which notes, chords and rhythm are asked for; elsewhere the model is free (default:
    the whole mix)."""
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
    notes_weight: float = Sampling.notes_weight
    """Guidance weight of notes, chords and rhythm: higher keeps to them more closely, 0 not at all."""
    grounding: float = Sampling.grounding
    """How strongly the style is followed, 0 to 1."""
    temperature: float = Sampling.temperature
    """Deviation of the noise that sampling starts from: below 1 more certain, less varied and a little quieter."""
    seed: int = 0
    """Another seed, another bass."""
    variations: int = 1
    """Basses to play, of this seed and those that follow it; NAME-1.wav, NAME-2.wav ... The mix is encoded once."""
    with_mix: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write each bass together with the mix too, as NAME.with-mix.wav."""
    midi: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the notes of each bass too, as NAME.mid."""
    weights: str = "small"
    """Name of shipped weights, a folder with three .safetensors files, or org/name@revision on the Hugging Face Hub."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1 ..."""
    threads: int | None = None
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compile the U-Net first, which takes a minute or more: pays for many steps or long mixes."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress bar and no summary."""


def generate(options: Options) -> list[Path]:
    """Read, generate, write; returns the paths written, take by take.

    Raises:
        BadInputError: a file cannot be used, a setting is out of range, the weights are not there, or the file of the
            default name is someone else's.
    """
    check_limits(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    takes = _takes(options)
    given_files = (options.mix, options.style, options.notes, options.rhythm)
    inputs = {path.resolve() for path in given_files if path is not None}
    for path in (path for take in takes for path in take.paths):
        if path.resolve() in inputs:
            raise BadInputError(f"{path}: would overwrite the input; choose another --output")
    if not options.overwrite:
        unnamed = [path for take in takes for path in take.paths if path != options.output]
        refuse_foreign(unnamed, instead="name another with -o, or give --overwrite")
    sampling = Sampling(
        steps=options.steps,
        cfg=options.cfg,
        phi=options.phi,
        notes_weight=options.notes_weight,
        grounding=options.grounding,
        temperature=options.temperature,
    )
    model = load(options.weights, find_device(options.device))
    model = dataclasses.replace(model, compiled=options.compile)
    notes = _asked(model, options)
    given = _encoded(model, options.mix, options.style, notes, quiet=options.quiet)
    for take in takes:
        label = f" {take.number} of {len(takes)}" if len(takes) > 1 else ""
        _play(model, given, take, sampling=sampling, quiet=options.quiet, label=label)
        if take.midi is not None:
            _transcribe(take.bass, take.midi)
    written = [path for take in takes for path in take.paths]
    for path in written:
        note_written(path)
    return written


@dataclass(frozen=True)
class _Take:
    """One bass to play, and the files it becomes."""

    number: int
    seed: int
    bass: Path
    with_mix: Path | None = None
    midi: Path | None = None

    @property
    def paths(self) -> list[Path]:
        return [path for path in (self.bass, self.with_mix, self.midi) if path is not None]


def _takes(options: Options) -> list[_Take]:
    """What is to be written; BadInputError for names and numbers that cannot be."""
    output = options.output or options.mix.with_suffix(".bass.wav")
    if output.suffix.lower() not in (".wav", ".flac"):
        raise BadInputError(f"{output}: can write .wav or .flac, not '{output.suffix}'")
    takes = []
    for number in range(1, options.variations + 1):
        bass = output if options.variations == 1 else output.with_stem(f"{output.stem}-{number}")
        with_mix = bass.with_stem(f"{bass.stem}.with-mix") if options.with_mix else None
        midi = bass.with_suffix(".mid") if options.midi else None
        takes.append(_Take(number, options.seed + number - 1, bass, with_mix, midi))
    return takes


def accompany_file(
    model: BassAccompaniment,
    mix: Path,
    output: Path,
    *,
    style: Path | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> None:
    """What `BassAccompaniment.accompany` does for one mix, file to file: the memory needed does not grow with audio.

    The decoded bass waits on the disk, beside `output`, until its peak is known.

    Raises:
        BadInputError: a file cannot be read or written, is silent, or is shorter than 1 s.
    """
    _play(model, _encoded(model, mix, style, None, quiet=True), _Take(1, seed, output), sampling=sampling, quiet=True)


@dataclass(frozen=True)
class _Given:
    """A mix and a style, encoded, and what is asked for: enough for any number of basses."""

    path: Path
    mix: EncodedMix
    style_mean: Tensor | None
    notes: Tensor | None
    """`BassAccompaniment.note_planes`."""


def _asked(model: BassAccompaniment, options: Options) -> Tensor | None:
    """Planes of notes, chords and rhythm; None if nothing is asked for.

    Raises:
        BadInputError: files or chords that cannot be read or do not fit the mix, options without what they are for, or
            weights that know no notes.
    """
    if options.notes is options.chords is options.rhythm is None:
        if options.span is not None:
            raise BadInputError("--span says where --notes, --chords or --rhythm are asked for: give one of them too")
        if options.bpm is not None:
            raise BadInputError("--bpm counts the bars of --chords: give --chords too")
        return None
    model.refuse_without_notes()
    samples, _ = _measured(options.mix)
    seconds = samples / SAMPLE_RATE
    chords = None
    if options.chords is not None:
        beats = even_beats(options.bpm, seconds) if options.bpm else found_beats(read_audio(options.mix))
        chords = read_chords(options.chords, beats, beats_per_bar=options.beats_per_bar)
    conditions = Conditions(
        notes=None if options.notes is None else read_notes(options.notes, seconds),
        chords=chords,
        rhythm=None if options.rhythm is None else read_rhythm(options.rhythm, seconds),
        span=options.span,
    )
    return model.note_planes(conditions, samples)


def _encoded(model: BassAccompaniment, mix: Path, style: Path | None, notes: Tensor | None, *, quiet: bool) -> _Given:
    samples, rms = _measured(mix)
    style_samples, style_rms = (0, rms) if style is None else _measured(style)
    with tqdm(total=samples + style_samples, desc="encoding", bar_format=_SHARE_DONE, disable=quiet) as bar:

        def blocks(path: Path) -> Iterator[np.ndarray]:
            for block in audio_blocks(path):
                yield block[None]
                bar.update(block.shape[1])

        encoded = model.encode_mix_stream(blocks(mix), rms, samples)
        style_mean = None if style is None else model.style_mean_stream(blocks(style), style_rms)
    return _Given(mix, encoded, style_mean, notes)


def _play(
    model: BassAccompaniment, given: _Given, take: _Take, *, sampling: Sampling | None, quiet: bool, label: str = ""
) -> None:
    """Sample, decode and write one bass, and what it is with the mix where that is asked for."""
    steps = (sampling or model.sampling).steps
    with tqdm(total=steps, desc=f"sampling{label}", unit="step", disable=quiet) as bar:
        latent = model.generate_latents(
            given.mix.latent,
            seeds=[take.seed],
            style_mean=given.style_mean,
            notes=given.notes,
            sampling=sampling,
            on_step=lambda _: bar.update(),
        )
    try:
        take.bass.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=take.bass.parent) as decoded:
            limiter, samples = Limiter(given.mix.gain), given.mix.samples
            with tqdm(total=samples, desc=f"decoding{label}", bar_format=_SHARE_DONE, disable=quiet) as bar:
                for piece in model.decode_stream(latent, samples, limiter):
                    decoded.write(piece[0].T.tobytes())
                    bar.update(piece.shape[2])
            divisor = limiter.divisor[0]
            write_audio_blocks(take.bass, (block / divisor for block in _read_back(decoded)), SAMPLE_RATE)
            if take.with_mix is not None:
                peak = max(float(np.abs(block).max()) for block in _with_mix(given.path, decoded, divisor))
                loudest = np.float32(max(1.0, peak / 0.999))  # both are turned down together, rather than clipped
                blocks = (block / loudest for block in _with_mix(given.path, decoded, divisor))
                write_audio_blocks(take.with_mix, blocks, SAMPLE_RATE)
    except OSError as error:
        raise BadInputError(f"{take.bass}: cannot write ({error})") from None


def _transcribe(bass: Path, output: Path) -> None:
    notes = transcribe(read_mono(bass), TRANSCRIPTION_RATE)
    if not notes:
        print(f"no note is heard in {bass}: {output} has none", file=sys.stderr)
    write_midi(output, notes, program=BASS_PROGRAMS[1])


def _with_mix(mix: Path, decoded: BinaryIO, divisor: np.ndarray) -> Iterator[np.ndarray]:
    """The sum of a mix and the decoded bass over its divisor, in blocks `(2, samples)`."""
    decoded.seek(0)
    for block in audio_blocks(mix):
        bass = np.frombuffer(decoded.read(8 * block.shape[1]), np.float32).reshape(-1, 2).T
        yield block + bass / divisor


def _read_back(file: BinaryIO) -> Iterator[np.ndarray]:
    file.seek(0)
    while data := file.read(8 * _BLOCK):
        yield np.frombuffer(data, np.float32).reshape(-1, 2).T


def _measured(path: Path) -> tuple[int, np.ndarray]:
    """Samples and root mean square `(1, 1, 1)` of a file at 44.1 kHz.

    Raises:
        BadInputError: it is silent or shorter than 1 s.
    """
    samples, square, peak = 0, 0.0, 0.0
    for block in audio_blocks(path):
        samples += block.shape[1]
        square += sum(float(np.vdot(channel, channel)) for channel in block)
        peak = max(peak, float(block.max()), -float(block.min()))
    if samples < SAMPLE_RATE:
        raise BadInputError(f"{path}: {samples / SAMPLE_RATE:.2f} s long; at least 1 s is needed")
    if peak < _SILENCE:
        raise BadInputError(f"{path}: is silent; give a file with sound")
    return samples, np.full((1, 1, 1), math.sqrt(square / (2 * samples)))


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        options = tyro.cli(Options, description=__doc__)
        written = generate(options)
        if not options.quiet:
            print(f"wrote {', '.join(map(str, written))}", file=sys.stderr)


if __name__ == "__main__":
    main()
