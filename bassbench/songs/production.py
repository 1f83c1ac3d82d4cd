"""Plays an arrangement as a `Production` says: fonts, synthesisers, recordings and levels, before any end of chain."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.songs import samples
from bassbench.songs.arrangement import Arrangement, Note, Part
from bassbench.songs.families import Production, samples_folder
from bassbench.songs.mastering import master
from bassbench.songs.soundfont import render_parts
from bassbench.songs.synths import synthesise

_ACTIVE = 0.03  # blocks this much below the loudest do not count as playing


def played_mix(plan: Arrangement, made: Production, seconds: float, soundfont: Path | None) -> np.ndarray:
    """All parts but the bass, float32 `(2, samples)`, at a level of its own.

    Groups (pitched parts, drums, loop, guitar, voice) are balanced by their levels while they play.
    """
    count = round(seconds * SAMPLE_RATE)
    pitched = [part for part in plan.others if not part.is_drum]
    drums = [part for part in plan.others if part.is_drum]
    mix = _by_font(pitched, made.part_fonts, seconds, soundfont) if pitched else np.zeros((2, count), np.float32)
    kicks = [note.start for part in drums for note in part.notes if samples.piece(note.pitch) == "kick"]
    if made.duck_decibels:
        mix = mix * ducked(kicks or plan.beats, count, decibels=made.duck_decibels, seconds=made.duck_seconds)
    anchor = level(mix)
    groups = [(_drums(drums, made, seconds, soundfont), made.drum_decibels)] if drums else []
    if made.loop:
        first = plan.downbeats[0] if plan.downbeats else 0.0
        beats = [beat for beat in plan.beats if beat >= first]
        groups.append((samples.play_loop(samples_folder(), made.loop, beats, count), made.loop_decibels))
    if made.guitar and plan.chords:
        struck = samples.play_guitar(samples_folder(), made.guitar, plan.chords, count, cents=made.tuning)
        groups.append((struck, made.guitar_decibels))
    if made.voice is not None:
        generator = np.random.default_rng([made.seed, 1])
        sung = synthesise(made.voice, made.voice_notes, count, cents=made.tuning, generator=generator)
        groups.append((sung, made.voice_decibels))
    for audio, decibels in groups:
        loud = level(audio)
        fixed = decibels is None or not anchor or not loud
        mix = mix + audio * np.float32(1.0 if fixed else anchor / loud * 10 ** ((decibels or 0.0) / 20))
    return mix


def played_bass(
    plan: Arrangement, made: Production, seconds: float, parts: Sequence[Part], soundfont: Path | None
) -> np.ndarray:
    """The bass, float32 `(2, samples)`; `parts` are what a font plays of it (the bass, and what doubles it)."""
    count, cents = round(seconds * SAMPLE_RATE), made.tuning
    if made.patch is not None:
        generator = np.random.default_rng([made.seed, 2])
        return synthesise(made.patch, plan.bass.notes, count, cents=cents, generator=generator)
    if made.sampled_bass:
        return samples.play_bass(samples_folder(), made.sampled_bass, plan.bass.notes, count, cents=cents)
    return render_parts(parts, seconds, soundfont=made.bass_font or soundfont)


def finished(mix: np.ndarray, made: Production) -> np.ndarray:
    """The mix after its end of chain, if it has one."""
    return mix if made.master is None else master(mix, made.master)


def level(audio: np.ndarray) -> float:
    """Root mean square of `(2, samples)` over the blocks of 0.1 s in which something plays; 0 for silence."""
    block = SAMPLE_RATE // 10
    power = np.square(audio[:, : audio.shape[1] // block * block]).reshape(2, -1, block).mean(axis=(0, 2))
    active = power > _ACTIVE**2 * power.max() if power.size else power > 0
    return float(np.sqrt(power[active].mean())) if active.any() else 0.0


def ducked(onsets: Sequence[float], count: int, *, decibels: float, seconds: float) -> np.ndarray:
    """Gain `(count,)` that falls by `decibels` at every onset and comes back in `seconds`."""
    step = 128
    times = np.arange(count // step + 2) * (step / SAMPLE_RATE)
    ordered = np.sort(np.asarray(onsets, dtype=np.float64))
    if not len(ordered):
        return np.ones(count, np.float32)
    before = np.searchsorted(ordered, times, side="right") - 1
    since = np.where(before < 0, np.inf, times - ordered[np.maximum(before, 0)])
    back = np.clip(since / seconds, 0, 1)
    gain = 10 ** (-decibels / 20 * (1 - back) ** 2)
    return np.interp(np.arange(count) / step, np.arange(len(gain)), gain).astype(np.float32)


def _by_font(parts: Sequence[Part], fonts: dict[str, Path], seconds: float, soundfont: Path | None) -> np.ndarray:
    """Parts rendered together by each font; the fonts are equally loud for each part they play."""

    def font(part: Part) -> str:
        return str(fonts.get(part.name, soundfont or ""))

    total: np.ndarray | None = None
    for path, group in itertools.groupby(sorted(parts, key=font), font):
        audio = render_parts(list(group), seconds, soundfont=Path(path) if path else None)
        total = audio if total is None else total + audio
    assert total is not None
    return total


def _drums(drums: Sequence[Part], made: Production, seconds: float, soundfont: Path | None) -> np.ndarray:
    notes = [note for part in drums for note in part.notes]
    if made.kit:
        return samples.play_kit(samples_folder(), made.kit, notes, round(seconds * SAMPLE_RATE))
    if made.drum_font is not None:
        drums = [dataclasses.replace(part, notes=tuple(map(_on_a_kit, part.notes))) for part in drums]
    return render_parts(drums, seconds, soundfont=made.drum_font or soundfont)


def _on_a_kit(note: Note) -> Note:
    """Recorded kits have one kick, at 36."""
    return dataclasses.replace(note, pitch=36) if note.pitch == 35 else note
