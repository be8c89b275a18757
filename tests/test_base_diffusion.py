import torch

from onephoto.base.architecture import build_scheduler
from onephoto.base.diffusion import coverage, draw_timesteps
from onephoto.base.pictures import NO_BOX


def test_coverage_is_the_share_of_each_position_in_the_box() -> None:
    shares = coverage(torch.tensor([[0.25, 0.0, 0.75, 0.125], [0.0, 0.0, 0.0, 0.0], NO_BOX]), 4)
    assert shares.shape == (3, 1, 4, 4)
    torch.testing.assert_close(shares[0, 0, 0], torch.tensor([0.0, 0.5, 0.5, 0.0]))
    assert shares[0, 0, 1:].abs().max() == 0 and shares[1:].abs().max() == 0


def test_timesteps_weigh_as_min_snr_does() -> None:
    alphas = build_scheduler().alphas_cumprod
    snr = alphas / (1 - alphas)
    wanted = snr.clamp(max=5.0) / snr
    t, weight = draw_timesteps(200_000, alphas, torch.Generator().manual_seed(0), snr_limit=5.0)
    got = torch.zeros(1000).index_add(0, t, weight)
    for low, high in ((0, 50), (50, 150), (150, 400), (400, 1000)):
        share = got[low:high].sum() / got.sum()
        torch.testing.assert_close(share, wanted[low:high].sum() / wanted.sum(), atol=2e-3, rtol=0.02)
    assert (t < 100).float().mean() < 0.07


def test_timesteps_of_a_batch_are_spread() -> None:
    alphas = build_scheduler().alphas_cumprod
    t, _ = draw_timesteps(32, alphas, torch.Generator().manual_seed(0), snr_limit=5.0)
    assert (t.diff() > 0).all() and t.min() < 150 and t.max() > 950
