"""Does the bass play the harmony?  Conventions: pitch classes count semitones above C, A4 = 440 Hz, times in seconds.

All metrics count the voiced frames of `bassbench.hearing.pitch`: those in which the bass sounds at a clear pitch.
Octaves do not matter, so octave errors of the pitch tracker do not either. Where nothing can be counted (silence,
unknown chords) a metric is NaN: how such a clip is scored is the caller's protocol.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bassbench.hearing.chroma import Chroma, Key, chroma, estimated_key
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.metric import ClipMetric, Scored
from bassbench.songs.arrangement import Note
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Chord, parse_chord

_DOWNBEAT_FROM, _DOWNBEAT_TO = 0.04, 0.2
"""The part of a downbeat, in seconds after it, that is heard: a frame lasts 0.09 s and must not reach before it."""


def validate(track: PitchTrack, chords: Sequence[Chord]) -> None:
    """Check the input of the metrics that need chords.

    Raises:
        ValueError: the arrays of the track differ in length, a voiced f0 is not positive, or there are no chords.
    """
    validate_track(track)
    if not chords:
        raise ValueError("the chords of this clip are unknown; the chord-tone share needs them")


def validate_track(track: PitchTrack) -> None:
    """Check a pitch track.

    Raises:
        ValueError: its arrays differ in length, or a voiced f0 is not positive.
    """
    if not len(track.times) == len(track.f0) == len(track.voiced):
        raise ValueError("times, f0 and voiced must have one value per frame each")
    if not (track.f0[track.voiced] > 0).all():
        raise ValueError("f0 of voiced frames must be positive, in Hz")


def pitch_classes(f0: np.ndarray) -> np.ndarray:
    """Nearest pitch class (0 to 11) of each f0 in Hz, `(frames,)`."""
    return np.round(69 + 12 * np.log2(f0 / 440)).astype(int) % 12


def chord_at(times: np.ndarray, chords: Sequence[Chord]) -> np.ndarray:
    """Index of the chord that sounds at each time, -1 where none does, `(frames,)`."""
    order = np.argsort([chord.start for chord in chords], kind="stable")
    starts = np.array([chords[i].start for i in order])
    ends = np.array([chords[i].end for i in order])
    position = np.searchsorted(starts, times, side="right") - 1
    sounding = (position >= 0) & (times < ends[position])
    return np.where(sounding, order[position], -1)


def chord_tone_share(track: PitchTrack, chords: Sequence[Chord]) -> float:
    """Share of voiced frames, among those with a known chord, whose pitch class is a tone of it; NaN without one.

    Raises:
        ValueError: see `validate`.
    """
    validate(track, chords)
    voiced = track.voiced
    index = chord_at(track.times[voiced], chords)
    counted = index >= 0
    if not counted.any():
        return float("nan")
    belongs = np.zeros((len(chords), 12), dtype=bool)
    for row, chord in enumerate(chords):
        belongs[row, [pitch % 12 for pitch in chord.pitch_classes]] = True
    return float(belongs[index[counted], pitch_classes(track.f0[voiced][counted])].mean())


def downbeat_root_share(track: PitchTrack, chords: Sequence[Chord], downbeats: Sequence[float]) -> float:
    """Share of the downbeats on which the bass sounds where it sounds the root of the chord; NaN without one.

    The pitch class of a downbeat is that of most voiced frames centred 40 to 200 ms after it, at least two.

    Raises:
        ValueError: see `validate`.
    """
    validate(track, chords)
    hits = []
    for downbeat, index in zip(downbeats, chord_at(np.array(downbeats), chords), strict=True):
        after = track.times - downbeat
        heard = track.voiced & (after >= _DOWNBEAT_FROM) & (after <= _DOWNBEAT_TO)
        if index >= 0 and heard.sum() >= 2:
            played = np.bincount(pitch_classes(track.f0[heard]), minlength=12).argmax()
            hits.append(played == chords[index].root % 12)
    return float(np.mean(hits)) if hits else float("nan")


def sounding_share(track: PitchTrack, notes: Sequence[Note]) -> float:
    """Share of voiced frames, among those in which a note of the mix sounds, whose pitch class sounds in the mix.

    NaN without such a frame. Notes are all pitched notes of the mix, drums left out.

    Raises:
        ValueError: see `validate_track`.
    """
    validate_track(track)
    times = track.times[track.voiced]
    sounds = np.zeros((len(times), 12), dtype=bool)
    for note in notes:
        sounds[np.searchsorted(times, note.start) : np.searchsorted(times, note.end), note.pitch % 12] = True
    counted = sounds.any(axis=1)
    if not counted.any():
        return float("nan")
    played = pitch_classes(track.f0[track.voiced])
    return float(sounds[np.flatnonzero(counted), played[counted]].mean())


def chroma_agreement(track: PitchTrack, mix: Chroma) -> float:
    """How strong the bass's pitch class is in the mix's chroma, mean over voiced frames: 1 by chance, 12 at most.

    NaN without a voiced frame while the mix sounds.

    Raises:
        ValueError: see `validate_track`.
    """
    validate_track(track)
    if not len(mix.times) or not track.voiced.any():
        return float("nan")
    nearest = np.clip(np.round(track.times[track.voiced] / _step(mix)).astype(int), 0, len(mix.times) - 1)
    strength = mix.strength[nearest]
    counted = strength.any(axis=1)
    if not counted.any():
        return float("nan")
    played = pitch_classes(track.f0[track.voiced])[counted]
    return float(strength[counted][np.arange(len(played)), played].mean())


def key_share(track: PitchTrack, key: Key) -> float:
    """Share of voiced frames whose pitch class is in the key's major or natural minor scale; NaN without one.

    Raises:
        ValueError: see `validate_track`.
    """
    validate_track(track)
    if not track.voiced.any():
        return float("nan")
    return float(np.isin(pitch_classes(track.f0[track.voiced]), key.pitch_classes).mean())


def voiced_share(track: PitchTrack) -> float:
    """Share of all frames in which the bass sounds at a clear pitch; 0 without frames."""
    return float(track.voiced.mean()) if len(track.voiced) else 0.0


def key_of(clip: Clip) -> Key | None:
    """The clip's known key, else the one estimated from its mix; None for a silent mix."""
    if not clip.key:
        return estimated_key(chroma(clip.mix))
    tonic, mode = clip.key.split()
    return Key(parse_chord(tonic)[0], mode)


def _step(mix: Chroma) -> float:
    return float(mix.times[1] - mix.times[0]) if len(mix.times) > 1 else 1.0


def _needing(known: Callable[[Clip], object], share: Callable[[PitchTrack, Clip], float]) -> Callable[[Scored], float]:
    """A metric of the pitch of the bass under test, NaN where what it needs to know of the clip is empty."""

    def measure(scored: Scored) -> float:
        return share(bass_pitch(scored.bass), scored.clip) if known(scored.clip) else float("nan")

    return measure


def _chord_tones(track: PitchTrack, clip: Clip) -> float:
    return chord_tone_share(track, clip.chords)


def _downbeat_roots(track: PitchTrack, clip: Clip) -> float:
    return downbeat_root_share(track, clip.chords, clip.downbeats)


def _sounding(track: PitchTrack, clip: Clip) -> float:
    return sounding_share(track, clip.mix_notes)


def _agreement(scored: Scored) -> float:
    return chroma_agreement(bass_pitch(scored.bass), chroma(scored.clip.mix))


def _in_key(scored: Scored) -> float:
    key = key_of(scored.clip)
    return key_share(bass_pitch(scored.bass), key) if key else float("nan")


def _voiced(scored: Scored) -> float:
    return voiced_share(bass_pitch(scored.bass))


_YIN = "YIN: de Cheveigne and Kawahara 2002"
METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("chord-tone share", "", "higher", _YIN, _needing(lambda clip: clip.chords, _chord_tones)),
    ClipMetric("root on downbeats", "", "real", _YIN, _needing(lambda clip: clip.chords, _downbeat_roots)),
    ClipMetric("share sounding in the mix", "", "higher", _YIN, _needing(lambda clip: clip.mix_notes, _sounding)),
    ClipMetric("chroma agreement", "", "higher", "librosa chroma filters; " + _YIN, _agreement),
    ClipMetric("notes in the key", "", "higher", "key profiles: Krumhansl and Kessler 1982; " + _YIN, _in_key),
    ClipMetric("voiced share", "", "real", _YIN, _voiced),
)
