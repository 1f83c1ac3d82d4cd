"""Presets: the sizes of the three networks, and how each is trained: one table, one row a preset."""

import dataclasses
import math
from dataclasses import dataclass
from typing import get_args

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError, unknown_name
from reference_model.positional_bias import Positions

R_TIME = 4096
"""Samples per latent frame (the paper's r_time)."""
MOST_BLOCKS = 256
"""A header that asks for more is no configuration of ours: building the network would take for ever."""


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
    """The phase head gives derivatives of the phase, which are integrated (`reference_model.phase`), not the phase."""

    def __post_init__(self) -> None:
        for stages in filter(None, (self.encoder, self.decoder)):
            if len(stages) > MOST_BLOCKS or max(stage.blocks for stage in stages) > MOST_BLOCKS:
                raise ValueError(f"no network has more than {MOST_BLOCKS} stages or blocks: {self}")
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


@dataclass(frozen=True)
class UNetConfig:
    """Everything that determines a U-Net's tensors; it travels in the header of its weights.

    `widths` are the channels at each resolution, each half as fine as the one before; `attention` is the number of
    the coarsest resolutions that attend.
    """

    widths: tuple[int, ...]
    attention: int
    blocks: int = 2
    """Residual blocks at each resolution on the way down; as many on the way up."""
    heads: int = 4
    level_dims: int = 32
    """Channels of the sinusoidal embedding of the noise level."""
    dropout: float = 0.0
    mix_dims: int = 64
    bass_dims: int = 32
    positions: Positions = "dynamic"
    """How attention knows where a frame is; the paper's, and that of weights that do not say, is "dynamic"."""
    note_planes: int = 0
    """Further input channels: notes, chords and rhythm that are asked for, `conditions.PLANES` or none."""

    def __post_init__(self) -> None:
        if self.positions not in get_args(Positions):
            raise ValueError(f"positions are one of {', '.join(get_args(Positions))}, not {self.positions}")
        if not self.widths or not 0 <= self.attention <= len(self.widths) or self.blocks < 1:
            raise ValueError(f"a U-Net needs widths, blocks, and attention at no more than all resolutions: {self}")
        if max(self.blocks, len(self.widths)) > MOST_BLOCKS:
            raise ValueError(f"no network has more than {MOST_BLOCKS} resolutions or blocks: {self}")
        if not 0 <= self.note_planes <= MOST_BLOCKS:
            raise ValueError(f"no more than {MOST_BLOCKS} planes can be asked for: {self}")
        if self.level_dims % 2 or any(width % self.heads for width in self.widths[-self.attention or None :]):
            raise ValueError(f"level_dims must be even and the attending widths divide by the heads: {self}")

    @property
    def stride(self) -> int:
        """Frames at the finest resolution in one frame of the coarsest."""
        return 2 ** (len(self.widths) - 1)

    def to_dict(self) -> dict:
        """Plain values for JSON, without planes where there are none, as before there was the choice."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value or name != "note_planes"}

    @classmethod
    def from_dict(cls, values: dict) -> "UNetConfig":
        """Inverse of `to_dict`; raises BadInputError for anything else."""
        try:
            return cls(**{**values, "widths": tuple(values["widths"])})
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"this is not a U-Net's configuration: {error}") from error


PAPER_WEIGHTS = {"reconstruction": 25.0, "mssd": 0.002, "adversarial": 1.0}
"""L = L_adv + 25 L_rec + 0.002 L_mssd."""
SMALL_WEIGHTS = {
    "reconstruction": 1.0,
    "band_level": 0.5,
    "frequency": 1.0,
    "delay": 1.0,
    "side": 0.25,
    "adversarial": 0.02,
}
"""Not in the paper: the linear path already holds the magnitudes, most of what is left to learn is phase."""


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoders of a preset are trained; the command line may change any of it."""

    steps: int
    batch_size: int
    learning_rate: float
    betas: tuple[float, float]
    cosine: bool
    adversarial_start: int | None
    """Step from which the critics play along; None: never."""
    latent_noise: float
    """Deviation of noise added to the decoder's input, so that generated latents are not foreign to it."""
    gain_db: float
    """Each crop is played up to this much louder or softer."""
    resolutions: int | None
    """Resolutions of the multi-scale loss drawn for each step; None: all."""
    clip: float
    """Largest gradient norm.  # Not in the paper."""
    weights: dict[str, float]
    """Of the losses."""


@dataclass(frozen=True)
class DiffusionRecipe:
    """How the U-Net of a preset is trained, as far as presets differ."""

    steps: int
    batch_size: int
    learning_rate: float
    subsets: int
    """Random subsets of the other stems that each clip is kept with; an example gets one of them."""


@dataclass(frozen=True)
class Preset:
    """The sizes of all three networks, and how they are trained: one row of `PRESETS`."""

    autoencoders: dict[str, AutoencoderConfig]
    """Of "mix" and "bass"."""
    unet: UNetConfig
    autoencoder_recipe: AutoencoderRecipe
    diffusion_recipe: DiffusionRecipe


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


# tiny: random weights, for tests.  small: trained on two cores; its weights are shipped.  paper: the paper's layout.
#
# Not in the paper: widths, blocks and heads of the U-Net; "paper" has its 42 M parameters.
# Not in the paper: the learning rates, and the autoencoders' clip. The gradient of the paper's losses has a norm of 20
# to 29 in the first ten steps (bass, 16 crops of the song bank). Under a clip of 5 every step would have the same norm,
# which the paper does not say; 100 leaves all but outliers alone.
# Not in the paper: the number of subsets. The paper draws a random subset of the stems anew for each example. The mix
# encoder is not linear, so that takes all stems at hand (five of them at 16 bits are 400 times the size of the latents)
# and the encoder in every step (1.3 s for a batch of 16 on one core), or several mixes encoded beforehand: K times the
# rendering, encoding and latents, for one of K subsets in each example. "small" was trained with one of each rendering
# and up to two renderings of a song.
# Generation never decodes a mix, so the mix decoder of "small" is kept small in the weights that are shipped.
# fmt: off
PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        _pair(_TINY, mix_corner_hz=600.0),
        UNetConfig((16, 24),             attention=1, blocks=1, heads=2, level_dims=8, mix_dims=16, bass_dims=8),
        AutoencoderRecipe(     20,  2, 1e-3, betas=(0.9, 0.99), cosine=True,  adversarial_start=None, latent_noise=0.05,
                          gain_db=6.0, resolutions=1,    clip=5.0,   weights=SMALL_WEIGHTS),
        DiffusionRecipe(       20,   4, 1e-3, subsets=1),
    ),
    "small": Preset(
        _pair(_SMALL, mix_corner_hz=600.0, mix_decoder=(Stage(1, 64, 2),)),
        UNetConfig((128, 160, 192, 224), attention=2, dropout=0.1),
        AutoencoderRecipe(  6_000, 16, 5e-4, betas=(0.9, 0.99), cosine=True,  adversarial_start=None, latent_noise=0.05,
                          gain_db=6.0, resolutions=1,    clip=5.0,   weights=SMALL_WEIGHTS),
        DiffusionRecipe(   10_000,  16, 8e-4, subsets=1),
    ),
    "paper": Preset(
        _pair(_PAPER, mix_corner_hz=0.0),
        UNetConfig((256, 352, 448, 448), attention=2, blocks=3, heads=8, level_dims=128),
        AutoencoderRecipe(500_000, 32, 1e-4, betas=(0.5, 0.9),  cosine=False, adversarial_start=0,    latent_noise=0.0,
                          gain_db=0.0, resolutions=None, clip=100.0, weights=PAPER_WEIGHTS),
        DiffusionRecipe(  500_000, 128, 1e-4, subsets=8),
    ),
}
# fmt: on


def find_preset(name: str) -> Preset:
    """A row of `PRESETS` by its name; BadInputError if there is none."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]
