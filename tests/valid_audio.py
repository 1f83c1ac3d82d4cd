"""What all audio that someone may hear has to be."""

import numpy as np


def assert_audio_valid(audio: np.ndarray, *, samples: int | None = None) -> None:
    """Assert that `(2, samples)` is finite, within full scale, not silent and of the expected length."""
    assert audio.ndim == 2 and audio.shape[0] == 2, f"expected (2, samples), got {audio.shape}"
    assert samples is None or audio.shape[1] == samples, f"expected {samples} samples, got {audio.shape[1]}"
    assert np.isfinite(audio).all(), "audio holds NaN or Inf"
    peak = float(np.abs(audio).max())
    assert 1e-4 < peak <= 1.0, f"peak {peak} is silent or out of range"
