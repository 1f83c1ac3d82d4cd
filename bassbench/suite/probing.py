"""Playing again for mixes that were swapped, muted or shifted: what `bassbench.metrics.probes` counts."""

from collections.abc import Callable, Sequence

import numpy as np

from bassbench.hearing.spectrum import power_spectrogram
from bassbench.metrics.metric import Scored
from bassbench.metrics.probes import Probe
from bassbench.songs.render import Clip
from bassbench.suite.anchors import half_beat
from bassbench.suite.sources import SystemSource


def altered_mix(way: str, clip: Clip, partner: Clip) -> np.ndarray:
    """The mix of another song, silence, or the clip's mix half a beat late, `(2, samples)`."""
    if way == "swapped":
        swapped = np.zeros_like(clip.mix)
        length = min(clip.mix.shape[1], partner.mix.shape[1])
        swapped[:, :length] = partner.mix[:, :length]
        return swapped
    return np.zeros_like(clip.mix) if way == "muted" else np.roll(clip.mix, half_beat(clip), axis=1)


def probe_clip(
    source: SystemSource, index: int, scored: Scored, wanted: Sequence[Probe], match: Callable[[Scored], float]
) -> dict[str, float]:
    """The wanted probes' values by name; `match` says how well a bass fits, NaN where that cannot be said."""
    ways = list(dict.fromkeys(probe.way for probe in wanted))
    partner = source.clips.entries[source.clips.partners[index]].load()
    mixes = [altered_mix(way, scored.clip, partner) for way in ways]
    seed = source.clips.clip_seed(index)
    names = [f"{scored.clip.name}, mix {way}" for way in ways]
    played = source.play(mixes, [scored.style] * len(ways), [seed] * len(ways), names=names)
    basses = dict(zip(ways, played, strict=True))
    fit = match(scored) if any(probe.by_match for probe in wanted) else float("nan")
    values = {}
    for probe in wanted:
        bass = basses[probe.way]
        if not probe.by_match:
            values[probe.name] = output_change(scored.bass, bass)
        elif np.isfinite(bass).all():
            values[probe.name] = fit - match(Scored(scored.clip, bass, scored.style))
        else:
            values[probe.name] = float("nan")
    return values


def output_change(bass: np.ndarray, other: np.ndarray) -> float:
    """Log-spectral distance of two outputs `(channels, samples)` in dB: mean over frames of the root mean square
    difference of log power spectra, floor at -80 dB of the first's peak. NaN where one is broken or the first silent.
    """
    if not np.isfinite(bass).all() or not np.isfinite(other).all() or not np.any(bass):
        return float("nan")
    spectra = [power_spectrogram(audio) for audio in (bass, other)]
    floor = max(float(spectra[0].max()), 1e-12) * 1e-8
    first, second = (10 * np.log10(np.maximum(spectrum, floor)) for spectrum in spectra)
    return float(np.sqrt(((first - second) ** 2).mean(axis=-2)).mean())
