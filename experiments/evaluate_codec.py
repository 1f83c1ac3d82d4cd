"""What the bass autoencoder keeps, clip by clip: pitch of notes, level, spectrum, waveform, stereo width, and FAD.

Definitions. Notes: of the notes whose pitch the estimator (`bassbench.hearing.pitch`, median f0 of the note's voiced
frames) gets right on the original, the share whose median f0 afterwards is within 50 cents of the original's; a note
that is no longer voiced is lost. The share of all clips' notes counts every note alike, the mean over songs every song,
however few of its notes have a clear pitch. Level: decoded over original, absolute, in dB. Log-spectral distance: see
`reference_model.codec_probes`. STFT and mel distance: auraloss's defaults (spectral convergence plus mean difference of
log magnitudes; windows 600, 1200 and 240 of FFTs 1024, 2048 and 512, hops 120, 240 and 50; 128 mel bands of FFT 1024,
hop 256), on the middle 3 s. SI-SDR: Le Roux et al. 2019. Width: difference of the side's energy over the mid's, 20 Hz
up, in dB, absolute, of clips whose side is above -40 dB.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from bassbench.audio import SAMPLE_RATE
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.harmony import chord_at
from bassbench.metrics.statistics import Interval, statistic_interval
from bassbench.metrics.stereo import side_to_mid_db
from bassbench.songs.arrangement import Note
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Chord
from reference_model.codec_probes import level_error, log_spectral_distance
from reference_model.presets import R_TIME

NOTES, LEVEL, LSD = "notes that keep their pitch", "level error", "log-spectral distance"
ALL_NOTES = "notes of all songs that keep their pitch"
STFT, MEL, SDR, WIDTH = "STFT distance", "mel distance", "SI-SDR", "stereo width difference"
CLIP_MEASURES = (NOTES, LEVEL, LSD, STFT, MEL, SDR, WIDTH)
_RESOLUTIONS = ((1024, 600, 120), (2048, 1200, 240), (512, 240, 50))
_EXCERPT = 3 * SAMPLE_RATE
_NARROWEST_DB = -40.0


def codec_measures(clip: Clip, decoded: np.ndarray) -> dict[str, float]:
    """Every one of `CLIP_MEASURES` of `decoded` `(2, samples)`; NaN where it is undefined."""
    real = clip.bass
    ours, theirs = torch.from_numpy(decoded), torch.from_numpy(real)
    middle = max((real.shape[1] - _EXCERPT) // 2, 0)
    excerpts = theirs[:, middle : middle + _EXCERPT], ours[:, middle : middle + _EXCERPT]
    kept = notes_kept(clip, decoded)
    width = side_to_mid_db(real, below=SAMPLE_RATE / 2)
    change = abs(side_to_mid_db(decoded, below=SAMPLE_RATE / 2) - width) if width > _NARROWEST_DB else float("nan")
    return {
        NOTES: float(kept.mean()) if len(kept) else float("nan"),
        LEVEL: abs(level_error(theirs, ours)),
        LSD: log_spectral_distance(theirs, ours),
        STFT: float(np.mean([_distance(*excerpts, *resolution, None) for resolution in _RESOLUTIONS])),
        MEL: _distance(*excerpts, 1024, 1024, 256, _mel_basis()),
        SDR: si_sdr(real, decoded),
        WIDTH: change,
    }


def notes_kept(clip: Clip, decoded: np.ndarray) -> np.ndarray:
    """Whether each rightly heard note of the clip keeps its pitch within 50 cents in `decoded` `(2, samples)`."""
    return kept_by_tracks(bass_pitch(clip.bass), bass_pitch(decoded), clip.bass_notes)


def kept_by_tracks(track: PitchTrack, decoded: PitchTrack, notes: tuple[Note, ...]) -> np.ndarray:
    """The same from the pitch tracks of the original and the decoded bass, `(rightly heard notes,)` booleans.

    Raises:
        ValueError: the tracks differ in length.
    """
    if len(track.times) != len(decoded.times):
        raise ValueError(f"tracks of {len(track.times)} and {len(decoded.times)} frames are not of one clip")
    kept = []
    for note in notes:
        within = (track.times > note.start + 0.03) & (track.times < note.end)
        heard, after = within & track.voiced, within & decoded.voiced
        if heard.sum() < 2:
            continue
        pitch = float(np.median(track.midi[heard]))
        if abs(pitch - note.pitch) < 0.5:
            kept.append(bool(after.any()) and abs(float(np.median(decoded.midi[after])) - pitch) < 0.5)
    return np.array(kept, dtype=bool)


def si_sdr(real: np.ndarray, decoded: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB over both channels; NaN for silence."""
    energy = float(np.vdot(real, real))
    if energy == 0:
        return float("nan")
    target = real * (float(np.vdot(decoded, real)) / energy)
    rest = float(np.square(decoded - target, dtype=np.float64).sum())
    return float(10 * np.log10(max(float(np.square(target, dtype=np.float64).sum()), 1e-20) / max(rest, 1e-20)))


def _distance(
    real: torch.Tensor, decoded: torch.Tensor, size: int, window: int, hop: int, basis: torch.Tensor | None
) -> float:
    def magnitude(audio: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            audio, size, hop, window, window=torch.hann_window(window), return_complex=True, pad_mode="constant"
        )
        power = spectrum.abs().square().clamp(min=1e-8).sqrt()
        return power if basis is None else (basis @ power).clamp(min=1e-4)

    theirs, ours = magnitude(real), magnitude(decoded)
    convergence = torch.linalg.norm(theirs - ours) / torch.linalg.norm(theirs)
    return float(convergence + (theirs.log() - ours.log()).abs().mean())


@functools.cache
def _mel_basis() -> torch.Tensor:
    return torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=1024, n_mels=128))


CONTEXT = 2
_TRAIN_EVERY = 4  # neighbouring frames say nearly the same


@dataclass(frozen=True)
class ProbeSong:
    """Frames of one song: features `(frames, dims)`, sounding pitch classes `(frames, 12)`, roots `(frames,)`."""

    features: np.ndarray
    chroma: np.ndarray
    root: np.ndarray


def probe_song(latent: np.ndarray, chords: Sequence[Chord]) -> ProbeSong:
    """The frames of a mix latent `(dims, frames)` in which a chord sounds, for linear classifiers of single frames.

    The features of a frame are the standardised latents of it and of the two frames on either side (0.46 s in all); the
    truth is the chord that sounds at the frame's centre.

    Raises:
        ValueError: not `(dims, frames)`, or no chords.
    """
    if latent.ndim != 2 or not chords:
        raise ValueError("a probe needs a latent (dims, frames) and the chords of its song")
    count = latent.shape[1]
    padded = np.pad(latent, ((0, 0), (CONTEXT, CONTEXT)), mode="edge")
    features = np.concatenate([padded[:, shift : shift + count] for shift in range(2 * CONTEXT + 1)]).T
    index = chord_at((np.arange(count) + 0.5) * R_TIME / SAMPLE_RATE, chords)
    sounding = index >= 0
    tones = np.zeros((len(chords), 12), dtype=bool)
    for row, chord in enumerate(chords):
        tones[row, [pitch % 12 for pitch in chord.pitch_classes]] = True
    roots = np.array([chord.root % 12 for chord in chords])
    return ProbeSong(features[sounding], tones[index[sounding]], roots[index[sounding]])


def probe(
    train: Sequence[ProbeSong], test: Sequence[ProbeSong], *, generator: np.random.Generator, resamples: int = 200
) -> dict[str, Interval]:
    """Is the harmony still in the mix latents?  Of linear classifiers, with intervals over the test songs.

    "chroma": mean area under the ROC curve over pitch classes; "root": accuracy.
    """
    features = np.concatenate([song.features[::_TRAIN_EVERY] for song in train])
    chroma = np.concatenate([song.chroma[::_TRAIN_EVERY] for song in train])
    root = np.concatenate([song.root[::_TRAIN_EVERY] for song in train])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    tested = np.concatenate([song.features for song in test])
    features, tested = (features - mean) / deviation, (tested - mean) / deviation
    song = np.repeat(np.arange(len(test)), [len(one.root) for one in test])
    truth = np.concatenate([one.chroma for one in test])
    curves = []
    for pitch in range(12):
        if not 0 < chroma[:, pitch].mean() < 1 or not 0 < truth[:, pitch].mean() < 1:
            continue
        scores = _classifier().fit(features, chroma[:, pitch]).decision_function(tested)
        order = np.argsort(scores)
        curves.append((song[order], truth[order, pitch]))
    right = np.full(len(tested), float("nan"))
    if len(np.unique(root)) > 1:
        right = _classifier().fit(features, root).predict(tested) == np.concatenate([one.root for one in test])

    def area(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(test))
        return float(np.mean([_area(times[songs], positive) for songs, positive in curves])) if curves else np.nan

    def accuracy(drawn: np.ndarray) -> float:
        return float(np.average(right, weights=np.bincount(drawn, minlength=len(test))[song]))

    return {
        name: statistic_interval(statistic, len(test), generator=generator, resamples=resamples)
        for name, statistic in (("chroma", area), ("root", accuracy))
    }


def _classifier() -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=150, tol=1e-3)


def _area(weight: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of weighted items in ascending order of score; NaN without both classes."""
    above, below = weight * positive, weight * ~positive
    pairs = float(above.sum()) * float(below.sum())
    return float(above @ (np.cumsum(below) - below / 2)) / pairs if pairs else float("nan")
