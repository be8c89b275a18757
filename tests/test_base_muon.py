"""Muon for many matrices at once is torch's Muon."""

import torch

from onephoto.base.muon import BatchedMuon, orthogonalised


def matrices() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape) for shape in ((8, 8), (8, 8), (6, 20), (20, 6), (20, 6))]


def test_it_updates_as_torch_does_matrix_by_matrix() -> None:
    ours, theirs = matrices(), matrices()
    options = {"lr": 1e-2, "weight_decay": 0.1}
    batched = BatchedMuon(ours, **options)
    single = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    for step in range(3):
        torch.manual_seed(step)
        for first, second in zip(ours, theirs, strict=True):
            first.grad = torch.randn(first.shape)
            second.grad = first.grad.clone()
        batched.step()
        single.step()
    for first, second, begun in zip(ours, theirs, matrices(), strict=True):
        # Both round to bfloat16 on the way, in another order.
        assert (first - second).norm() < 0.02 * (first - begun).norm()


def test_singular_values_come_near_one() -> None:
    result = orthogonalised(torch.stack(matrices()[:2]), (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3 and values.median() > 0.6


def test_who_has_no_gradient_stays() -> None:
    still, moved = torch.ones(4, 4), torch.ones(4, 4)
    moved.grad = torch.eye(4)
    BatchedMuon([still, moved], lr=0.1, weight_decay=0.0).step()
    assert still.equal(torch.ones(4, 4)) and not moved.equal(torch.ones(4, 4))
