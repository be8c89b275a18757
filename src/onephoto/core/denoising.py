"""The plain diffusion loss: noise a clean latent, ask for what the model was trained to predict, compare."""

import torch
from torch import Tensor
from torch.nn import functional

from onephoto.errors import ModelError


def _signal_and_noise(alphas_cumprod: Tensor, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The two factors of the noisy latent, each (B, 1, 1, 1): sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t)."""
    share = alphas_cumprod.to(like.device, torch.float32)[t].reshape(-1, *[1] * (like.ndim - 1))
    return share.sqrt().to(like.dtype), (1 - share).sqrt().to(like.dtype)


def add_noise(clean: Tensor, noise: Tensor, alphas_cumprod: Tensor, t: Tensor) -> Tensor:
    """The noisy latent x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) e (Ho 2020, equation 4).

    clean and noise are (B, c, h, w), alphas_cumprod (T,), t (B,) long.
    """
    signal, sigma = _signal_and_noise(alphas_cumprod, t, clean)
    return signal * clean + sigma * noise


def denoising_target(clean: Tensor, noise: Tensor, alphas_cumprod: Tensor, t: Tensor, prediction_type: str) -> Tensor:
    """What the model should predict from x_t, (B, c, h, w); prediction_type is spelled as diffusers does.

    "epsilon" asks for the noise, "sample" for the clean latent, "v_prediction" for sqrt(alpha_bar_t) e -
    sqrt(1 - alpha_bar_t) x_0 (Salimans and Ho 2022). Raises ModelError for any other.
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return clean
    if prediction_type != "v_prediction":
        raise ModelError(
            f"the model predicts {prediction_type!r}; use one that predicts epsilon, v_prediction or sample"
        )
    signal, sigma = _signal_and_noise(alphas_cumprod, t, clean)
    return signal * noise - sigma * clean


def clean_and_noise(
    prediction: Tensor, noisy: Tensor, alphas_cumprod: Tensor, t: Tensor, prediction_type: str
) -> tuple[Tensor, Tensor]:
    """The x_0 and e that a prediction says x_t is made of: `denoising_target` and `add_noise` solved for them."""
    signal, sigma = _signal_and_noise(alphas_cumprod, t, noisy)
    if prediction_type == "epsilon":
        return (noisy - sigma * prediction) / signal, prediction
    if prediction_type == "sample":
        return prediction, (noisy - signal * prediction) / sigma
    return signal * noisy - sigma * prediction, sigma * noisy + signal * prediction


def denoising_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error as a float32 scalar, whatever the precision of the model."""
    return functional.mse_loss(prediction.float(), target.float())
