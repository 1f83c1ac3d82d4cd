"""Settings that the studies have in common; each study adds its own."""

from dataclasses import dataclass
from pathlib import Path

from bassbench.errors import BadInputError, check_limits
from experiments import studies
from reference_model.pipeline import BassAccompaniment, Sampling


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of every study of the reference model."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    seed: int = 0
    """Seed of the noise, all pairing and the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        check_limits(self)

    def model(self) -> BassAccompaniment:
        """The model, once the folder for results can be written.

        Raises:
            BadInputError: the folder cannot be written; unknown device or weights.
        """
        studies.output_folder(self.output)
        return studies.load_model(self.weights, self.device)


@dataclass(frozen=True, kw_only=True)
class BatchSettings(Settings):
    """Of a study that samples several clips at a time."""

    batch_size: int = 8
    """Clips sampled at a time; where seconds are measured it changes them, nothing else."""


@dataclass(frozen=True, kw_only=True)
class WeightSettings(BatchSettings):
    """Of a study in which the model plays at several weights of guidance."""

    cfg: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Guidance weights of the reference model."""
    phi: float = 0.5
    """Rescale of the guided estimate."""
    steps: int = 64
    """DDIM steps."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if len(self.samplings) != len(set(self.samplings)):
            raise BadInputError(f"--cfg takes different numbers, got {' '.join(map(str, self.cfg))}")

    @property
    def samplings(self) -> list[Sampling]:
        """How basses are drawn, at each weight.

        Raises:
            BadInputError: a number of steps, a weight or a rescale that cannot be sampled with.
        """
        return [Sampling(steps=self.steps, cfg=cfg, phi=self.phi) for cfg in self.cfg]
