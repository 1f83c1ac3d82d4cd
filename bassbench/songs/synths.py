"""Synthesised instruments: basses (subtractive, FM, 808, plucked string) and a lead that behaves like a voice.

All play one note at a time. A line is a phase in cycles, computed sample by sample from a curve of pitch, so that
glides, slides and vibrato are exact; its sound is one spectrum of harmonics for every cycle. All cycles become a table
of waveforms by one inverse Fourier transform, which is read at the phase: what a filter's envelope, a plucked string's
decay or a formant does is a formula for the spectrum, and nothing is looped over in Python but the notes' onsets.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.signal

from bassbench.audio import SAMPLE_RATE
from bassbench.songs.arrangement import Note

_STEP = 64  # samples between the points of curves of pitch and loudness: 1.5 ms
_TOP_HZ = 16_000.0
Spectra = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(cycle moments, harmonic numbers) -> amplitudes `(cycles, harmonics)`."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """One sound: the kind of synthesiser and its parameters, all drawn by `draw_patch` and meant as there."""

    kind: str
    values: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclasses.dataclass(frozen=True)
class _Moments:
    """What is known at some moments of a line, `(moments,)` each."""

    since: np.ndarray
    """Seconds since the note began."""
    velocity: np.ndarray
    """0 to 1."""
    hertz: np.ndarray
    note: np.ndarray
    """Index of the note."""


BASSES = ("subtractive", "fm", "808", "pluck")


def draw_patch(generator: np.random.Generator, kind: str) -> Patch:
    """Random but plausible parameters of one of `BASSES` or of "voice"."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def octaves(low: float, high: float) -> float:
        return float(low * (high / low) ** generator.random())

    envelope = {"attack": octaves(0.002, 0.02), "release": octaves(0.01, 0.08)}
    match kind:
        case "subtractive":
            values = {
                "square": float(generator.integers(2)), "width": between(0.2, 0.5), "cutoff": octaves(150, 4000),
                "tracking": between(0, 0.8), "sweep": between(0, 3.5), "sweep_seconds": octaves(0.04, 0.5),
                "resonance": octaves(0.6, 4), "poles": float(generator.integers(1, 3)), "decay": octaves(0.3, 8),
                "unison_cents": between(4, 14) if generator.random() < 0.3 else 0.0,
                "glide": octaves(0.02, 0.09) if generator.random() < 0.25 else 0.0,
            }  # fmt: skip
        case "fm":
            values = {
                "ratio": float(generator.choice([1, 1, 2, 3, 4])), "index": octaves(0.7, 9), "rest": between(0.05, 0.6),
                "index_seconds": octaves(0.05, 0.6), "decay": octaves(0.4, 6), "glide": 0.0,
            }  # fmt: skip
        case "808":
            values = {
                "drop": between(0.2, 1.5), "drop_seconds": octaves(0.008, 0.03), "decay": octaves(0.25, 2.0),
                "drive": octaves(0.3, 6), "click": between(0, 0.4), "glide": octaves(0.02, 0.12),
            }  # fmt: skip
            envelope["release"] = octaves(0.02, 0.15)
        case "pluck":
            values = {
                "place": between(0.06, 0.35), "pickup": between(0.05, 0.3), "tilt": between(0.6, 1.6),
                "damping": octaves(0.25, 1.6), "brightness": octaves(0.002, 0.05), "noise": between(0, 0.15),
                "glide": 0.0,
            }  # fmt: skip
            envelope = {"attack": octaves(0.001, 0.004), "release": octaves(0.02, 0.12)}
        case "voice":
            values = {
                "size": octaves(0.85, 1.25), "tilt": between(0.8, 1.6), "vibrato_hertz": between(4.5, 6.5),
                "vibrato_cents": between(10, 60), "vibrato_after": between(0.1, 0.4), "scoop": between(0, 1.5),
                "breath": between(0.0, 0.12), "drift_cents": between(0, 15), "glide": octaves(0.02, 0.08),
                "vowels": float(generator.integers(1 << 30)),
            }  # fmt: skip
            envelope = {"attack": octaves(0.02, 0.08), "release": octaves(0.04, 0.15)}
        case _:
            raise ValueError(f"no synthesiser {kind!r}; choose from {', '.join((*BASSES, 'voice'))}")
    return Patch(kind, values | envelope)


def synthesise(
    patch: Patch, notes: Sequence[Note], samples: int, *, cents: float = 0.0, generator: np.random.Generator
) -> np.ndarray:
    """Play notes, one at a time (a note ends where the next begins), as float32 `(2, samples)` at a peak of 0.5.

    `cents` is the tuning above concert pitch; `generator` makes what is noise in the sound.
    """
    ordered = sorted((note for note in notes if note.start * SAMPLE_RATE < samples), key=lambda note: note.start)
    if not ordered:
        return np.zeros((2, samples), np.float32)
    line = _Line(patch, ordered, samples, cents, generator)
    match patch.kind:
        case "fm":
            audio = line.frequency_modulated()
        case "808":
            audio = line.kick_like()
        case "voice":
            audio = line.harmonics(line.voice, top=9_000.0)
            audio += patch["breath"] * line.noise(2_000.0, 9_000.0)
        case "pluck":
            pick = line.noise(700.0, 6_000.0) * line.along(np.exp(-line.points.since / 0.004))
            audio = line.harmonics(line.plucked) + patch["noise"] * pick
        case _:
            audio = line.harmonics(line.subtractive)
            if patch["unison_cents"]:
                twin = line.phase * 2 ** (patch["unison_cents"] / 1200) + 0.37
                audio = line.harmonics(line.subtractive, phase=line.phase * 2 ** (-patch["unison_cents"] / 1200))
                audio += line.harmonics(line.subtractive, phase=twin)
    audio *= line.along(line.envelope())
    peak = float(np.abs(audio).max())
    return np.tile((audio * (0.5 / max(peak, 1e-9))).astype(np.float32), (2, 1))


class _Line:
    """One monophonic line: curves every `_STEP` samples (`points`), its phase, and the sounds it can be played with."""

    def __init__(
        self, patch: Patch, notes: Sequence[Note], samples: int, cents: float, generator: np.random.Generator
    ) -> None:
        self.patch, self.samples, self.generator = patch, samples, generator
        self.starts = np.array([note.start for note in notes])
        following = np.append(self.starts[1:], np.inf)
        self.ends = np.minimum([note.end for note in notes], following)
        self.velocities = np.array([note.velocity for note in notes]) / 127
        self.pitches = np.array([note.pitch for note in notes], dtype=np.float64)
        self.times = np.arange(samples // _STEP + 2) * (_STEP / SAMPLE_RATE)
        self.points = self._at(self.times, self._hertz(cents))
        steps = self.along(self.points.hertz, np.float64) / SAMPLE_RATE
        self.phase = np.cumsum(steps)

    def along(self, curve: np.ndarray, kind: type = np.float32) -> np.ndarray:
        """A curve at `points`, at every sample."""
        return np.interp(np.arange(self.samples) / _STEP, np.arange(len(curve)), curve).astype(kind, copy=False)

    def noise(self, low: float, high: float) -> np.ndarray:
        """Noise between two frequencies in Hz, of deviation 1."""
        sections = scipy.signal.butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos")
        filtered = scipy.signal.sosfilt(sections, self.generator.standard_normal(self.samples, dtype=np.float32))
        return (filtered / filtered.std()).astype(np.float32)

    def _at(self, times: np.ndarray, hertz: np.ndarray) -> _Moments:
        note = np.maximum(np.searchsorted(self.starts, times, side="right") - 1, 0)
        return _Moments(np.maximum(times - self.starts[note], 0.0), self.velocities[note], hertz, note)

    def _hertz(self, cents: float) -> np.ndarray:
        """Frequency at `times`: the pitch of the note that began last, with glides, vibrato and scoops."""
        patch, times = self.patch, self.times
        note = np.maximum(np.searchsorted(self.starts, times, side="right") - 1, 0)
        since = np.maximum(times - self.starts[note], 0.0)
        pitch = self.pitches[note] + cents / 100
        if patch.kind == "voice":
            pitch = pitch - patch["scoop"] * np.exp(-since / 0.06)
        if patch["glide"]:
            keep = math.exp(-_STEP / SAMPLE_RATE / (patch["glide"] / 3))
            pitch = scipy.signal.lfilter([1 - keep], [1, -keep], pitch, zi=[keep * pitch[0]])[0]
        if patch.kind == "voice":
            depth = patch["vibrato_cents"] / 100 * np.clip((since - patch["vibrato_after"]) / 0.3, 0, 1)
            pitch = pitch + depth * np.sin(2 * np.pi * patch["vibrato_hertz"] * times)
            pitch = pitch + patch["drift_cents"] / 100 * np.sin(2 * np.pi * 0.23 * times + 1)
        if patch.kind == "808":
            pitch = pitch + 12 * patch["drop"] * np.exp(-since / patch["drop_seconds"])
        return 440.0 * 2 ** ((pitch - 69) / 12)

    def envelope(self) -> np.ndarray:
        """Loudness at `times`: each note's attack, decay and release, and its velocity."""
        patch, moments = self.patch, self.points
        attack = np.clip(moments.since / patch["attack"], 0, 1)
        decay = np.exp(-moments.since / patch["decay"]) if "decay" in patch.values else 1.0
        over = np.maximum(self.times - self.ends[moments.note], 0)
        release = np.exp(-4 * over / patch["release"]) * (self.times >= self.starts[0])
        return attack * decay * release * moments.velocity**1.2

    def harmonics(self, spectra: Spectra, *, phase: np.ndarray | None = None, top: float = _TOP_HZ) -> np.ndarray:
        """The line `(samples,)` whose cycle i has the amplitudes of `spectra` at the moment it begins."""
        phase = self.phase if phase is None else phase
        count = int(phase[-1]) + 3
        moment = np.interp(np.arange(count), phase, np.arange(self.samples)) / SAMPLE_RATE
        hertz = np.interp(moment, self.times, self.points.hertz)
        highest = int(min(top / hertz.min(), 320))
        numbers = np.arange(1, highest + 1)
        self.cycles = self._at(moment, hertz)
        amplitudes = spectra(hertz[:, None], numbers[None]) * (numbers * hertz[:, None] < top)
        size = 1 << (4 * highest - 1).bit_length()
        table = np.zeros((count, size // 2 + 1), np.complex64)
        table[:, 1 : highest + 1] = amplitudes * (-0.5j * size)  # sines: no cycle begins with a jump
        waves = scipy.fft.irfft(table, size, axis=1, overwrite_x=True)
        waves = np.concatenate([waves, waves[:, :1]], axis=1).ravel()
        whole = phase.astype(np.int64)
        share = (phase - whole).astype(np.float32)
        place = share * size
        left = place.astype(np.int64)
        between = place - left
        at = whole * (size + 1) + left
        now = waves[at] * (1 - between) + waves[at + 1] * between
        at += size + 1
        coming = waves[at] * (1 - between) + waves[at + 1] * between
        return now + share * (coming - now)

    def subtractive(self, hertz: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """A saw or pulse through a low-pass whose cutoff falls after every onset."""
        patch, cycles = self.patch, self.cycles
        wave = np.sin(np.pi * numbers * patch["width"]) / numbers if patch["square"] else 1 / numbers
        sweep = patch["sweep"] * (0.4 + 0.6 * cycles.velocity) * np.exp(-cycles.since / patch["sweep_seconds"])
        cutoff = patch["cutoff"] * (hertz[:, 0] / 65.0) ** patch["tracking"] * 2**sweep
        x = numbers * hertz / cutoff[:, None]
        response = 1 / np.sqrt((1 - x**2) ** 2 + (x / patch["resonance"]) ** 2)
        return wave * response ** patch["poles"]

    def plucked(self, hertz: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """A string plucked and picked up at two of its places, whose higher harmonics die away sooner."""
        patch, cycles = self.patch, self.cycles
        tilt = patch["tilt"] + 0.5 * (1 - cycles.velocity[:, None])
        comb = np.sin(np.pi * numbers * patch["place"]) * np.sin(np.pi * numbers * patch["pickup"])
        damping = (1 + patch["brightness"] * numbers**2) / patch["damping"]
        return comb * numbers**-tilt * np.exp(-damping * cycles.since[:, None])

    def voice(self, hertz: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """A glottal source through three formants of a vowel for every note, moving from one to the next."""
        patch, cycles = self.patch, self.cycles
        sung = np.random.default_rng(int(patch["vowels"])).integers(0, len(_VOWELS), len(self.starts) + 1)
        blend = np.clip(cycles.since / 0.12, 0, 1)[:, None]
        formants = (1 - blend) * _VOWELS[sung[cycles.note]] + blend * _VOWELS[sung[cycles.note + 1]]
        frequency = numbers * hertz
        response = np.full_like(frequency, 0.01)
        for index, (gain, width) in enumerate(((1.0, 90.0), (0.5, 110.0), (0.25, 170.0))):
            middle = formants[:, index, None] / patch["size"]
            response += gain / (1 + ((frequency - middle) / width) ** 2)
        return response / numbers ** patch["tilt"]

    def frequency_modulated(self) -> np.ndarray:
        """Two operators; the index falls after every onset."""
        patch, points = self.patch, self.points
        fall = patch["rest"] + (1 - patch["rest"]) * np.exp(-points.since / patch["index_seconds"])
        index = self.along(patch["index"] * fall * (0.3 + 0.7 * points.velocity))
        turns = (2 * np.pi * (self.phase % 1.0)).astype(np.float32)
        return np.sin(turns + index * np.sin(np.float32(patch["ratio"]) * turns))

    def kick_like(self) -> np.ndarray:
        """A sine through a saturation, with a click at every onset."""
        patch = self.patch
        sine = np.sin((2 * np.pi * (self.phase % 1.0)).astype(np.float32))
        drive = np.float32(patch["drive"])
        click = self.along(np.exp(-self.points.since / 0.002)) * self.noise(1_000.0, 5_000.0)
        return np.tanh(drive * sine) / np.tanh(drive) + patch["click"] * click


# Formants in Hz of a, e, i, o, u as sung (Fant, "Acoustic Theory of Speech Production", 1960, rounded).
_VOWELS = np.array(
    [(700, 1150, 2500), (500, 1800, 2500), (300, 2250, 3000), (450, 800, 2500), (320, 700, 2400)], dtype=np.float64
)
