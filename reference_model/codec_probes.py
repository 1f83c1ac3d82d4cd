"""What an autoencoder keeps of its input: pitch, level, and two spectral distances, for the trainer's validation."""

import torch
from torch import Tensor

from bassbench.audio import SAMPLE_RATE
from reference_model.stft import stft

_FRAME, _HOP = 8192, 4096
_LAGS = (SAMPLE_RATE // 420, SAMPLE_RATE // 35)
"""From a little above the bass's highest notes to below the low E of four strings."""


def pitch_track(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Fundamental in Hz and voicing of `(..., samples)`, both `(..., frames)`, every 4096 samples.

    The first strong peak of the autocorrelation of what lies below 1 kHz; voiced where that peak exceeds 0.6 and the
    level is within 40 dB of the loudest frame.
    """
    frames = audio.unfold(-1, _FRAME, _HOP) * torch.hann_window(_FRAME)
    power = torch.fft.rfft(frames, n=2 * _FRAME).abs().square()
    frequency = torch.fft.rfftfreq(2 * _FRAME, 1 / SAMPLE_RATE)
    power = power * ((frequency > 25) & (frequency < 1000))
    taper = torch.fft.irfft(torch.fft.rfft(torch.hann_window(_FRAME), n=2 * _FRAME).abs().square())
    energy = power.sum(-1)
    correlation = torch.fft.irfft(power)[..., : _LAGS[1] + 2] / taper[: _LAGS[1] + 2] * taper[0]
    correlation = correlation / correlation[..., :1].clamp(min=1e-12)
    low, high = _LAGS
    middle, before, after = (
        correlation[..., low:high],
        correlation[..., low - 1 : high - 1],
        correlation[..., low + 1 : high + 1],
    )
    peaks = torch.where((middle >= before) & (middle > after), middle, -torch.ones_like(middle))
    best = peaks.amax(-1, keepdim=True)
    first = (peaks > 0.9 * best).float().argmax(-1, keepdim=True)
    left, top, right = (values.gather(-1, first).squeeze(-1) for values in (before, middle, after))
    shift = 0.5 * (left - right) / (left - 2 * top + right).clamp(max=-1e-9)
    lag = low + first.squeeze(-1) + shift.clamp(-0.5, 0.5)
    voiced = (best.squeeze(-1) > 0.6) & (energy > 1e-4 * energy.amax(-1, keepdim=True)) & (energy > 1e-6)
    return SAMPLE_RATE / lag, voiced


def pitch_kept(reference: Tensor, decoded: Tensor) -> float:
    """Share of the reference's voiced frames whose pitch is within 50 cents after decoding; nan without any."""
    f0, voiced = pitch_track(reference.mean(-2))
    decoded_f0, _ = pitch_track(decoded.mean(-2))
    cents = 1200 * (decoded_f0 / f0).log2().abs()
    return (cents[voiced] < 50).float().mean().item()


def level_error(reference: Tensor, decoded: Tensor) -> float:
    """Decoded over reference level in dB, over everything."""
    return 10 * torch.log10(decoded.square().mean() / reference.square().mean()).item()


def log_spectral_distance(reference: Tensor, decoded: Tensor, *, floor: float = 1e-4) -> float:
    """Root mean square over bins, mean over frames, of the difference in log magnitude, in dB (window 2048)."""
    levels = [(stft(audio, 2048, 512).abs() + floor).log10() * 20 for audio in (reference, decoded)]
    return (levels[0] - levels[1]).square().mean(-1).sqrt().mean().item()


def log_mel_distance(reference: Tensor, decoded: Tensor, mel: Tensor, *, floor: float = 1e-4) -> float:
    """Mean absolute difference of log mel magnitudes in nat, with a matrix `(1025, mels)` (window 2048)."""
    levels = [((stft(audio, 2048, 512).abs() @ mel) + floor).log() for audio in (reference, decoded)]
    return (levels[0] - levels[1]).abs().mean().item()


def probe(reference: Tensor, decoded: Tensor, mel: Tensor) -> dict[str, float]:
    """All of the above for stereo `(batch, 2, samples)`."""
    return {
        "pitch_kept": pitch_kept(reference, decoded),
        "level_error_db": level_error(reference, decoded),
        "log_spectral_distance_db": log_spectral_distance(reference, decoded),
        "log_mel_distance_nat": log_mel_distance(reference, decoded, mel),
    }
