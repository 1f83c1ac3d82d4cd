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
from pathlib import Path

import librosa
import numpy as np
import torch

from bassbench.audio import SAMPLE_RATE, fit_length, loudness, loudness_normalise
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.stereo import side_to_mid_db
from bassbench.songs.arrangement import BASS_PROGRAMS, Note, bass_part
from bassbench.songs.render import Clip
from bassbench.songs.soundfont import render_parts
from reference_model.codec_probes import level_error, log_spectral_distance

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


def played_by(program: int, clip: Clip, soundfont: Path | None = None) -> np.ndarray:
    """The notes of the clip's bass played by a General-MIDI program, as loud as the clip's bass, `(2, samples)`."""
    played = render_parts([bass_part(program, clip.bass_notes)], clip.seconds, soundfont=soundfont)
    return loudness_normalise(fit_length(played, clip.bass.shape[1]), loudness(clip.bass))


def other_program(clip: Clip, seed: int) -> int:
    """One of the bass programs, another than the clip's."""
    others = [program for program in BASS_PROGRAMS if program != clip.bass_program]
    return int(np.random.default_rng([seed, 0x960]).choice(others))


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
