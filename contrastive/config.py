"""Sizes of the matcher: what it hears, how large its towers are, and the three presets with their training."""

import math
from dataclasses import dataclass

from bassbench.audio import SAMPLE_RATE


@dataclass(frozen=True)
class FeatureConfig:
    """The spectrum that both towers see: log magnitude at bins that are equally spaced in pitch.

    The pitched bins reach `room` semitones beyond what a tower sees on either side, so that a pair can be transposed by
    moving the tower's view. Above them lie a few wide bands for cymbals and attacks, which no transposition moves.
    """

    lowest: int = 21
    """MIDI pitch of the lowest bin that a tower sees (27.5 Hz)."""
    semitones: int = 72
    """Range that a tower sees, upwards from `lowest` (to 1.76 kHz)."""
    bins_per_semitone: int = 3
    room: int = 6
    """Semitones kept below and above the tower's view."""
    upper_bands: int = 8
    """Wide bands from the top of the view to `upper_hz`."""
    upper_hz: float = 16_000.0
    hop: int = 1472
    """Samples between frames (33 ms); a multiple of 8, since the low bins are computed at an eighth of the rate."""
    longest: float = 0.372
    """Analysis window in seconds of the lowest bins; it shortens as 34 periods of the bin's frequency do."""
    shortest: float = 0.046
    """Analysis window in seconds of the highest bins."""

    def __post_init__(self) -> None:
        if self.hop % 8 or min(self.semitones, self.bins_per_semitone, self.upper_bands) < 1 or self.room < 1:
            raise ValueError(f"hop must be a multiple of 8, and sizes positive, in {self}")

    @property
    def view(self) -> int:
        """Pitched bins that a tower sees."""
        return self.semitones * self.bins_per_semitone

    @property
    def pitched(self) -> int:
        """Pitched bins that are computed: the view and its room."""
        return (self.semitones + 2 * self.room) * self.bins_per_semitone

    @property
    def bins(self) -> int:
        """All rows of the features."""
        return self.pitched + self.upper_bands

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the features."""
        return SAMPLE_RATE / self.hop


@dataclass(frozen=True)
class MatcherConfig:
    """Everything that determines a matcher's tensors; it travels in the header of its weights."""

    width: int
    """Channels: features at each of the twelve pitch classes, times twelve."""
    blocks: int
    """Residual blocks of a tower, dilated by 1, 2, 4, 8, 1, 2, ..."""
    dims: int
    """Dimensions of the embedding of one frame, a multiple of twelve too."""
    dropout: float = 0.1
    window: float = 12.0
    """Seconds that are compared at a time; longer clips are averaged over windows."""
    features: FeatureConfig = FeatureConfig()

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.dims) < 1 or not math.isfinite(self.window) or self.window < MIN_SECONDS:
            raise ValueError(f"sizes must be positive and the window at least {MIN_SECONDS:g} s in {self}")
        if self.blocks > 256:
            raise ValueError(f"no matcher has more than 256 blocks: {self}")
        if self.width % 12 or self.dims % 12 or self.features.semitones % 12:
            raise ValueError(f"width, dims and the view's semitones must be multiples of twelve in {self}")


MIN_SECONDS = 5.0
"""Shorter clips are refused: too little music to tell whether a bass fits."""


@dataclass(frozen=True)
class Preset:
    """The sizes of a matcher, and how it is trained: one row of `MATCHERS`."""

    sizes: MatcherConfig
    steps: int
    batch_size: int
    learning_rate: float
    songs: int | None
    """Of the bank's train split; None: all."""


# tiny is for tests, small the shipped weights; the paper gives no size.
# fmt: off
MATCHERS = {
    #                            width blocks dims     steps  batch  rate  songs
    "tiny":  Preset(MatcherConfig( 24, 1,  24),           20,     4, 3e-3, None),
    "small": Preset(MatcherConfig(192, 4,  96),        1_100,    24, 2e-3, 1_200),
    "paper": Preset(MatcherConfig(576, 8, 288),      100_000,   256, 3e-4, None),
}
# fmt: on
