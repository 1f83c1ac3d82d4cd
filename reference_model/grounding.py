"""Style grounding (paper, section 3.3): the mean of the latent over time carries the timbre, so it is steered."""

from torch import Tensor

from reference_model.diffusion import Denoiser, Schedule


def grounded(
    denoiser: Denoiser, style_mean: Tensor, schedule: Schedule, *, strength: float = 1.0, exponent: float = 2.0
) -> Denoiser:
    """c <- c - mean_t(c) + beta^2 mean_t(style) + (1 - beta^2) mean_t(c), on the clean estimate at every step.

    `style_mean` `(batch, dims)` or `(1, dims)` is the style latent's mean over its frames. At the first step (level
    1, beta 1) the mean is the style's; towards the end the estimate is left alone. The paper's weight beta^2 becomes
    strength * beta^exponent; strength 0 is the plain denoiser.

    Raises:
        ValueError: strength is outside [0, 1] or the exponent is negative.
    """
    if not 0 <= strength <= 1 or exponent < 0:
        raise ValueError(f"strength must be in [0, 1] and exponent not negative, got {strength} and {exponent}")

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        clean = denoiser(noisy, level)
        mean = clean.mean(dim=2, keepdim=True)
        beta = schedule(level)[1].clamp(min=0)[:, None, None]
        weight = strength * beta**exponent
        return clean - mean + weight * style_mean.to(clean)[:, :, None] + (1 - weight) * mean

    return estimate
