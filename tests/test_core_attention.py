import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onephoto.core.attention_loss import attention_loss, attention_probs, class_mask, mask_loss
from onephoto.core.attention_maps import focus_weights, merge_columns, word_maps


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).softmax(dim=-1)


def test_probs_are_those_of_fused_attention() -> None:
    query, key, value = torch.randn(2, 3, 16, 8), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 8)
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attention_probs(query, key) @ value, fused)


def test_a_key_of_one_sample_serves_all() -> None:
    query, key = torch.randn(2, 3, 16, 8), torch.randn(1, 3, 5, 8)
    torch.testing.assert_close(attention_probs(query, key, 0.5), attention_probs(query, key.repeat(2, 1, 1, 1), 0.5))


def test_identical_maps_cost_nothing() -> None:
    layers = [maps(2, 3, 16, 7), maps(2, 3, 4, 7)]
    assert attention_loss(layers, layers).item() == 0


def test_loss_by_the_formula_in_plain_loops() -> None:
    target, reference = [maps(2, 2, 4, 3), maps(2, 2, 1, 3)], [maps(2, 2, 4, 3, seed=1), maps(2, 2, 1, 3, seed=1)]
    by_layer = []
    for a, r in zip(target, reference, strict=True):
        batch, heads, positions, tokens = a.shape
        total = 0.0
        for b in range(batch):
            for h in range(heads):
                for q in range(positions):
                    total += sum((a[b, h, q, n] - r[b, h, q, n]).item() ** 2 for n in range(tokens))
        by_layer.append(total / (batch * heads * positions))
    assert attention_loss(target, reference).item() == pytest.approx(256 * sum(by_layer) / 2, rel=1e-5)


def test_loss_by_hand() -> None:
    target = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    reference = torch.tensor([0.5, 0.5]).reshape(1, 1, 1, 2)
    assert attention_loss([target], [reference]).item() == 128


def test_the_reference_is_a_constant() -> None:
    target, reference = maps(1, 1, 4, 3).requires_grad_(), maps(1, 1, 4, 3, seed=1).requires_grad_()
    attention_loss([target], [reference]).backward()
    assert target.grad is not None and reference.grad is None


@given(st.integers(0, 5), st.integers(1, 3), st.integers(2, 8))
def test_merging_sums_the_word_and_loses_nothing(first: int, number: int, length: int) -> None:
    probs = maps(1, 2, 4, 9)
    merged = merge_columns(probs, range(first, first + number), length)
    assert merged.shape == (1, 2, 4, length)
    torch.testing.assert_close(merged.sum(dim=-1), torch.ones(1, 2, 4))
    if first < length - 1:
        torch.testing.assert_close(merged[..., first], probs[..., first : first + number].sum(dim=-1))
        torch.testing.assert_close(merged[..., :first], probs[..., :first])
    later = range(first + 1, length - 1)
    torch.testing.assert_close(merged[..., later], probs[..., [column + number - 1 for column in later]])


def test_merging_one_column_at_full_length_changes_nothing() -> None:
    probs = maps(1, 2, 4, 9)
    assert torch.equal(merge_columns(probs, [3], 9), probs)


def test_word_maps_sum_columns_and_average_heads_and_layers() -> None:
    large, small = maps(1, 2, 16, 5), maps(1, 2, 4, 5, seed=1)
    shown = word_maps([large, small], [[0], [1, 2]], 4)
    expected = torch.stack([layer.mean(dim=(0, 1))[:, [1, 2]].sum(dim=1).mean() for layer in (large, small)]).mean()
    assert shown.shape == (2, 4, 4)
    assert shown[1].mean().item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(word_maps([large], [[0]], 4)[0], large.mean(dim=(0, 1))[:, 0].reshape(4, 4))


def test_a_mask_holds_where_the_heads_mean_is_above_its_own_mean() -> None:
    word_map = torch.tensor([[[0.1, 0.5, 0.2, 0.2], [0.3, 0.5, 0.0, 0.2]]])
    assert class_mask(word_map).tolist() == [[0, 1, 0, 0]]


def test_a_map_even_in_its_mask_costs_nothing_and_elsewhere_it_does() -> None:
    mask = torch.tensor([[0.0, 1, 1, 0]])
    even = 0.3 * mask[:, None].expand(1, 2, 4)
    assert mask_loss([even, 2 * even], [mask, mask]).item() == 0
    # One of four positions off by half of the maximum, in one of two layers.
    off = torch.tensor([[[0.2, 0.4, 0.4, 0.0]]])
    assert mask_loss([even, off], [mask, mask]).item() == pytest.approx(0.5**2 / 4 / 2)
    assert mask_loss([torch.zeros(1, 2, 4)], [mask]).item() == pytest.approx(0.5)


@given(power=st.floats(0, 4))
def test_focus_follows_a_word_and_keeps_the_mean(power: float) -> None:
    word = maps(2, 16, seed=1).reshape(2, 1, 4, 4)
    weights = focus_weights(word, power)
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(2))
    torch.testing.assert_close(weights / weights[..., :1, :1], (word / word[..., :1, :1]).pow(power))


def test_without_power_all_positions_count_alike() -> None:
    torch.testing.assert_close(focus_weights(maps(1, 16).reshape(1, 4, 4), 0), torch.ones(1, 4, 4))
