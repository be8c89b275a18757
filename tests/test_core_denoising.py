import pytest
import torch

from onephoto.core.denoising import add_noise, denoising_loss, denoising_target
from onephoto.errors import ModelError

ALPHAS = torch.linspace(0.999, 0.01, 10)
T = torch.tensor([0, 4, 9])
CLEAN, NOISE = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))


def test_noisy_latents_by_hand() -> None:
    clean, noise = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0)
    noisy = add_noise(clean, noise, torch.tensor([0.64]), torch.tensor([0]))
    assert noisy.item() == pytest.approx(0.8 * 2 + 0.6 * 3)


def test_v_prediction_gives_back_latent_and_noise() -> None:
    noisy = add_noise(CLEAN, NOISE, ALPHAS, T)
    velocity = denoising_target(CLEAN, NOISE, ALPHAS, T, "v_prediction")
    signal, sigma = ALPHAS[T].sqrt()[:, None, None, None], (1 - ALPHAS[T]).sqrt()[:, None, None, None]
    torch.testing.assert_close(signal * noisy - sigma * velocity, CLEAN)
    torch.testing.assert_close(sigma * noisy + signal * velocity, NOISE)


def test_other_targets() -> None:
    assert denoising_target(CLEAN, NOISE, ALPHAS, T, "epsilon") is NOISE
    assert denoising_target(CLEAN, NOISE, ALPHAS, T, "sample") is CLEAN
    with pytest.raises(ModelError, match="flow"):
        denoising_target(CLEAN, NOISE, ALPHAS, T, "flow")


def test_loss_is_float32_even_of_half_precision() -> None:
    loss = denoising_loss(torch.full((4,), 300.0).half(), torch.zeros(4).half())
    assert loss.dtype == torch.float32 and loss.item() == 90000
