"""What the generated bass plays, beside the real bass, another song's, and what was generated for another mix."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bassbench.embedders.cache import embed_cached
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics import harmony, level, rhythm
from bassbench.metrics.bootstrap import Interval, mean_interval, statistic_interval
from bassbench.metrics.gate import gate
from bassbench.metrics.metric import Scored
from bassbench.songs.arrangement import BASS_PROGRAMS, Note
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Chord
from bassbench.suite.anchors import OTHER, REAL
from experiments.evaluate_codec import played_by
from experiments.studies import Advance, clip_seed, in_batches
from experiments.timbre import EMBEDDER as TIMBRE_EMBEDDER
from experiments.timbre import TimbreClassifier
from reference_model.pipeline import BassAccompaniment, Sampling

OWN, SWAPPED = "reference model", "reference model, mixes swapped"
CHORD, SOUNDING, COLLAPSED = "chord-tone share", "share sounding in the mix", "collapsed clips"
LISTENS = "sounding share against real bass and other song"
ROOT, CORRELATION, GRID, VOICED = "root on downbeats", "onset correlation", "onsets on the grid", "voiced share"
LOUDNESS = "loudness against the real bass"
_FROM_AUDIO = (ROOT, CORRELATION, GRID, VOICED, LOUDNESS)
RATIO = " against real"
GROUNDED, STYLE, CODED_STYLE = "program identified", "style clip", "style clip through the codec"
_MEASURES = {one.name: one for module in (harmony, rhythm, level) for one in module.METRICS}
_RESAMPLES = 1000
Results = dict[tuple[str, str], Interval]
"""Intervals by (system, metric)."""


@dataclass
class Heard:
    """Per clip: the truth and pitch of the real and the generated bass, and their numbers by (system, metric)."""

    chords: list[tuple[Chord, ...]] = field(default_factory=list)
    notes: list[tuple[Note, ...]] = field(default_factory=list)
    real: list[PitchTrack] = field(default_factory=list)
    own: list[PitchTrack] = field(default_factory=list)
    values: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))


def generated(
    model: BassAccompaniment, requests: Sequence[ClipRequest], sampling: Sampling, *, seed: int, batch_size: int
) -> Iterator[Scored]:
    """The bass generated for the mix of each clip."""
    for batch in in_batches(len(requests), batch_size):
        clips = [cached_clip(requests[index]) for index in batch]
        seeds = [clip_seed(seed, index) for index in batch]
        basses = model.accompany(np.stack([clip.mix for clip in clips]), seeds=seeds, sampling=sampling)
        yield from map(Scored, clips, basses)


def hear(basses: Iterator[Scored], use: Callable[[int, np.ndarray], object], advance: Advance) -> Heard:
    """Measure each bass and the real one; `use` is given the index and the audio besides."""
    heard = Heard()
    for index, scored in enumerate(basses):
        clip = scored.clip
        use(index, scored.bass)
        heard.chords.append(clip.chords)
        heard.notes.append(clip.mix_notes)
        heard.real.append(bass_pitch(clip.bass))
        heard.own.append(bass_pitch(scored.bass))
        for system, side in ((REAL, Scored(clip, clip.bass)), (OWN, scored)):
            for name in _FROM_AUDIO:
                heard.values[system, name].append(_MEASURES[name].measure(side))
            failed = not gate(side.bass, reference=clip.bass).passed
            heard.values[system, COLLAPSED].append(float(failed))
        advance()
    return heard


def bass_results(heard: Heard, partner: np.ndarray, seed: int) -> Results:
    """All intervals over songs; song i is also given the bass of song `partner[i]`, real and generated."""
    count = len(heard.own)
    playing = {
        REAL: heard.real,
        OWN: heard.own,
        OTHER: [heard.real[other] for other in partner],
        SWAPPED: [heard.own[other] for other in partner],
    }
    values = {key: np.array(numbers) for key, numbers in heard.values.items()}
    for system, tracks in playing.items():
        # A bass without a pitch plays no chord tone: 0, not left out.
        values[system, CHORD] = np.array([_chord_share(t, c) for t, c in zip(tracks, heard.chords, strict=True)])
        sounding = [harmony.sounding_share(t, n) for t, n in zip(tracks, heard.notes, strict=True)]
        values[system, SOUNDING] = np.nan_to_num(np.array(sounding))
    values[OWN, CORRELATION] = np.nan_to_num(values[OWN, CORRELATION])
    results: Results = {key: _mean(numbers, seed) for key, numbers in values.items()}
    failed = values[OWN, COLLAPSED]
    results[OWN, COLLAPSED] = Interval(float(failed.sum()), float("nan"), float("nan"))
    results[REAL, COLLAPSED] = Interval(float(values[REAL, COLLAPSED].sum()), float("nan"), float("nan"))

    def ratio(metric: str) -> Callable[[np.ndarray], float]:
        ours, real = values[OWN, metric], values[REAL, metric]
        both = ~(np.isnan(ours) | np.isnan(real))
        return lambda drawn: _divided(ours[drawn][both[drawn]].sum(), real[drawn][both[drawn]].sum())

    def difference(drawn: np.ndarray) -> float:
        return float(np.mean(values[SWAPPED, CHORD][drawn] - values[OTHER, CHORD][drawn]))

    def listens(drawn: np.ndarray) -> float:
        own, other, real = (values[system, SOUNDING][drawn].mean() for system in (OWN, OTHER, REAL))
        return _divided(own - other, real - other)

    statistics = {metric + RATIO: ratio(metric) for metric in (CHORD, ROOT, VOICED)}
    for name, statistic in {**statistics, SWAPPED: difference, LISTENS: listens}.items():
        generator = np.random.default_rng(seed)
        results[OWN, name] = statistic_interval(statistic, count, generator=generator, resamples=_RESAMPLES)
    return results


def grounding_results(
    model: BassAccompaniment,
    requests: Sequence[ClipRequest],
    partner: np.ndarray,
    classifier: TimbreClassifier,
    sampling: Sampling,
    *,
    seed: int,
    batch_size: int,
    advance: Advance,
) -> Results:
    """How often the style's program is identified, on the style, on what the codec makes of it, and on the bass.

    A style is another song's bass, played by a random program.
    """
    programs = np.random.default_rng([seed, 0x57]).choice(BASS_PROGRAMS, len(requests))
    right: defaultdict[str, list[float]] = defaultdict(list)
    for batch in in_batches(len(requests), batch_size):
        clips = [cached_clip(requests[index]) for index in batch]
        styles = [played_by(int(programs[i]), cached_clip(requests[partner[i]])) for i in batch]
        seeds = [clip_seed(seed, index) for index in batch]
        basses = model.accompany(
            np.stack([clip.mix for clip in clips]), style=np.stack(styles), seeds=seeds, sampling=sampling
        )
        for index, style, bass in zip(batch, styles, basses, strict=True):
            for name, audio in ((STYLE, style), (CODED_STYLE, model.codec(style)), (OWN, bass)):
                guess = classifier.identify(embed_cached(audio, TIMBRE_EMBEDDER))
                right[name].append(float(guess == programs[index]))
            advance()
    style, own = np.array(right[STYLE]), np.array(right[OWN])

    def ratio(drawn: np.ndarray) -> float:
        return _divided(own[drawn].sum(), style[drawn].sum())

    generator = np.random.default_rng(seed)
    return {
        **{(name, GROUNDED): _mean(np.array(found), seed) for name, found in right.items()},
        (OWN, GROUNDED + " against style clip"): statistic_interval(
            ratio, len(own), generator=generator, resamples=_RESAMPLES
        ),
    }


def _chord_share(track: PitchTrack, chords: Sequence[Chord]) -> float:
    return float(np.nan_to_num(harmony.chord_tone_share(track, chords))) if chords else float("nan")


def _divided(over: float, under: float) -> float:
    return float(over / under) if under else float("nan")


def _mean(numbers: np.ndarray, seed: int) -> Interval:
    """Mean over the songs where it is defined."""
    return mean_interval(numbers[~np.isnan(numbers)], generator=np.random.default_rng(seed))
