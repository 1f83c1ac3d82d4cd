"""The system of "Bass Accompaniment Generation via Latent Diffusion" (Pasini et al., 2024), as a reference model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference_model.loading import load
    from reference_model.pipeline import BassAccompaniment, Sampling

__all__ = ["BassAccompaniment", "Sampling", "load"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for."""
    if name in __all__:
        from reference_model import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
