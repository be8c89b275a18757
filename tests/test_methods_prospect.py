from dataclasses import replace

import pytest
import torch
from tiny import tiny_backbone
from torch import Tensor
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.methods.embedding import chance_of
from onephoto.methods.prospect import Prospect, ProspectBlock, ProspectSettings

SETTINGS = ProspectSettings(heads=4, head_width=8)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*timesteps: int) -> Batch:
    latents, noise = (torch.randn(len(timesteps), 4, 8, 8, generator=seeded(k)) for k in range(2))
    return Batch(latents, noise, torch.tensor(timesteps))


def attention(query: Tensor, context: Tensor, to_qk: tuple[Tensor, Tensor], to_v: Tensor, to_out: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V of four heads over a sequence of one."""
    q, k, v = (x.reshape(1, 4, 8).transpose(0, 1) for x in (query @ to_qk[0].T, context @ to_qk[1].T, context @ to_v.T))
    return ((q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v).transpose(0, 1).reshape(1, 32) @ to_out.T


def test_the_block_by_its_formula_with_queries_and_keys_of_any_kind() -> None:
    block, word = ProspectBlock(12, SETTINGS, generator=seeded()), torch.randn(1, 12, generator=seeded(1))
    qk = torch.randn(2, 32, 12, generator=seeded(2)).unbind()
    values = (block.self_value.weight, block.cross_value.weight)
    norm = functional.layer_norm(word, (12,))
    x = word + attention(norm, norm, qk, values[0], block.self_out.weight) + block.self_out.bias
    x = x + attention(functional.layer_norm(x, (12,)), word, qk, values[1], block.cross_out.weight)
    x = functional.layer_norm(x + block.cross_out.bias, (12,)) @ block.to_hidden.weight.T + block.to_hidden.bias
    x = (x[:, :48] * functional.gelu(x[:, 48:])) @ block.to_tokens.weight.T + block.to_tokens.bias
    torch.testing.assert_close(block(word[0]), x.reshape(10, 12))


def test_the_stage_is_that_of_the_formula(backbone: Backbone) -> None:
    """floor(t * 10 / 1000) names the block's output that a timestep's prompt holds, for K as for V."""
    method = Prospect(backbone, subject="person", settings=replace(SETTINGS, dropout=0.0))
    tokens = method.block(method.word)
    for t in (0, 99, 100, 555, 899, 900, 999):
        table = method.table_for(drawn(t))
        (variant,) = table.vectors["text_encoder"]
        torch.testing.assert_close(variant[0], tokens[t * 10 // 1000])
        assert torch.equal(table.key, table.value)


def test_dropout_is_the_batchs_own_and_stays_out_of_drawing(backbone: Backbone) -> None:
    method = Prospect(backbone, subject="person", settings=replace(SETTINGS, dropout=0.5))
    batch = drawn(10, 700)
    other = replace(batch, noise=torch.randn(2, 4, 8, 8, generator=seeded(9)))
    assert torch.equal(method.loss(batch)["loss"], method.loss(batch)["loss"])
    first, second = (method.block(method.word, chance_of(each)) for each in (batch, other))
    assert not torch.allclose(first, second)
    assert torch.equal(method.table().vectors["text_encoder"], method.table().vectors["text_encoder"])


def test_dropout_keeps_the_mean() -> None:
    block, ones = ProspectBlock(12, SETTINGS, generator=seeded()), torch.ones(10_000)
    dropped = block._dropped(ones, seeded())
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.9])


def test_the_block_alone_trains(backbone: Backbone) -> None:
    method = Prospect(backbone, subject="person", settings=SETTINGS)
    method.loss(drawn(10, 700))["loss"].backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in method.parameters())
    assert not method.word.requires_grad


def test_the_seed_makes_the_block(backbone: Backbone) -> None:
    tables = [Prospect(backbone, subject="person", settings=SETTINGS, seed=seed).tensors() for seed in (1, 1, 2)]
    first, again, other = (tensors["tokens.text_encoder"] for tensors in tables)
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == (10, 32)
