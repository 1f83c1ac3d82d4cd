"""Sizes of the autoencoders: one frozen dataclass, three presets, two kinds of audio."""

import dataclasses
import math
from dataclasses import dataclass

from bassbench.bad_input import BadInputError

SAMPLE_RATE = 44_100
R_TIME = 4096
"""Samples per latent frame (the paper's r_time)."""


@dataclass(frozen=True)
class Stage:
    """One resolution of an encoder (mirrored in the decoder): stride from the stage before, width, blocks."""

    stride: int
    width: int
    blocks: int


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything that determines an autoencoder's tensors; it travels in the header of its weights.

    `stack` STFT frames go into one frame of the first stage as channels; `hop` times `stack` times all strides is
    `R_TIME`.  With `linear_path` the latent starts from a PCA of the frequency-weighted log magnitudes of all STFT
    frames in a latent frame, and the decoder from its least-squares inverse; the networks add to it.
    """

    which: str
    dims: int
    window: int
    hop: int
    stack: int
    encoder: tuple[Stage, ...]
    """Empty: the encoder is the linear path alone."""
    decoder: tuple[Stage, ...]
    """In the encoder's order, finest stage first; the decoder runs through it backwards."""
    linear_path: bool = True
    top_hz: float = 8_300.0
    """The networks and the PCA see the bins below this; the decoder's least-squares path covers every bin."""
    weight_corner_hz: float = 0.0
    """Features are weighted by 1 / (1 + f / corner); 0 means no weighting."""
    side_weight: float = 1.0
    """Weight of the side beside the mid (1): at 0.5 the mid keeps its pitch better than at 1."""
    floor: float = 1e-4
    """eps of log(|S| + eps), where a sine at full scale has |S| = 1."""
    chroma_dims: int = 0
    """Latent dimensions, of `dims`, that are chroma and bass chroma (`harmony.py`): 24 or none."""
    side_dims: int = 0
    """Latent dimensions, of `dims`, that tell left from right (`sides.py`)."""
    component_deviation: float = 1.0
    """Deviation of the latent dimensions that are components, the others' being 1: below 1 whoever reads the latents
    leans less on what they tell of one world of sounds (`experiments.mix_features`)."""
    integrate_phase: bool = False
    """The phase head gives derivatives of the phase, which are integrated (`phase_integration.py`), not the phase."""

    def __post_init__(self) -> None:
        for stages in filter(None, (self.encoder, self.decoder)):
            if self.hop * self.stack * math.prod(stage.stride for stage in stages) != R_TIME:
                raise ValueError(f"hop x stack x strides must be {R_TIME} in {self}")
        if self.window % self.hop or self.dims < 1 or not self.decoder:
            raise ValueError(f"window must be a multiple of hop, dims positive and the decoder not empty in {self}")
        if not self.linear_path and not self.encoder:
            raise ValueError("an autoencoder needs a linear path or an encoder network")
        if self.chroma_dims not in (0, 24) or self.side_dims < 0 or self.components < 1:
            raise ValueError(f"chroma takes 24 dimensions or none, and some must be left for components in {self}")
        if self.component_deviation <= 0:
            raise ValueError(f"the components' deviation must be positive in {self}")
        if self.components < self.dims and not self.linear_path:
            raise ValueError("chroma and sides are part of the linear path")

    @property
    def components(self) -> int:
        """Latent dimensions of the linear path that are components of the spectrum."""
        return self.dims - self.chroma_dims - self.side_dims

    @property
    def bins(self) -> int:
        """Frequency bins of the STFT."""
        return self.window // 2 + 1

    @property
    def network_bins(self) -> int:
        """Bins below `top_hz`."""
        return min(self.bins, math.ceil(self.top_hz * self.window / SAMPLE_RATE))

    @property
    def frames_per_latent(self) -> int:
        """STFT frames in one latent frame."""
        return R_TIME // self.hop

    def to_dict(self) -> dict:
        """Plain values for JSON, without those that weights from before there was the choice do not have."""
        before = {"chroma_dims": 0, "side_dims": 0, "component_deviation": 1.0}
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in before or value != before[name]}

    @classmethod
    def from_dict(cls, values: dict) -> "AutoencoderConfig":
        """Inverse of `to_dict`; raises BadInputError for anything else."""
        try:
            stages = {key: tuple(Stage(**stage) for stage in values[key]) for key in ("encoder", "decoder")}
            return cls(**{**values, **stages})
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"this is not an autoencoder's configuration: {error}") from error


# Encoder and decoder of the paper's autoencoders have about 37 M parameters.
# Not in the paper: how they are divided among the stages.
_PAPER_STAGES = (Stage(2, 384, 2), Stage(2, 512, 2), Stage(2, 592, 2), Stage(2, 576, 2))
_SMALL = AutoencoderConfig(
    which="bass", dims=32, window=4096, hop=1024, stack=4, encoder=(), decoder=(Stage(1, 224, 5),),
    weight_corner_hz=250.0, side_weight=0.5, integrate_phase=True,
)  # fmt: skip
_TINY = dataclasses.replace(_SMALL, dims=8, window=2048, decoder=(Stage(1, 16, 1),), top_hz=2_000.0)
_PAPER = AutoencoderConfig(
    which="bass", dims=32, window=1024, hop=256, stack=1, encoder=_PAPER_STAGES, decoder=_PAPER_STAGES,
    linear_path=False, top_hz=SAMPLE_RATE,
)  # fmt: skip


def _pair(
    bass: AutoencoderConfig, *, mix_corner_hz: float, mix_decoder: tuple[Stage, ...] | None = None
) -> dict[str, AutoencoderConfig]:
    mix = dataclasses.replace(
        bass, which="mix", dims=2 * bass.dims, weight_corner_hz=mix_corner_hz, decoder=mix_decoder or bass.decoder
    )
    return {"mix": mix, "bass": bass}


AUTOENCODERS: dict[str, dict[str, AutoencoderConfig]] = {
    "tiny": _pair(_TINY, mix_corner_hz=600.0),
    # Generation never decodes a mix, so the mix decoder is kept small in the weights that are shipped.
    "small": _pair(_SMALL, mix_corner_hz=600.0, mix_decoder=(Stage(1, 64, 2),)),
    "paper": _pair(_PAPER, mix_corner_hz=0.0),
}
"""`AUTOENCODERS[preset][which]`: tiny for tests, small is trained on two cores, paper is the layout of the paper."""
