from dataclasses import replace

import pytest
import torch

from onephoto.core.tokens import TokenModule, TokenTable, class_rows, shortened
from onephoto.errors import SettingError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(num_stages: int = 5, width: int = 8) -> TokenTable:
    first = torch.arange(0, 2 * num_stages, 2)[:, None]
    return TokenTable({"text_encoder": torch.randn(2 * num_stages, 1, width)}, first, first + 1)


@pytest.mark.parametrize("width", [32, 192, 768])
@pytest.mark.parametrize("size", [0.0, 0.01])
def test_module_begins_at_its_word(width: int, size: float) -> None:
    word = torch.randn(width) * size
    tokens = TokenModule(width, 10, scale=0.01, generator=seeded(), slot_size=0.3)(word)
    assert torch.equal(tokens, word.expand(10, width))


def test_module_is_drawn_from_its_generator_alone() -> None:
    one, other = (TokenModule(32, 4, scale=1.0, generator=seeded(3), slot_size=1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def moved(width: int, steps: int, slot_size: float) -> torch.Tensor:
    """How far a module's tokens get from the word, in its scale, when pushed the same way at every step."""
    word = torch.randn(width, generator=seeded()) * 0.02
    module = TokenModule(width, 10, scale=0.02, generator=seeded(), slot_size=slot_size)
    push = torch.randn(10, width, generator=seeded(1))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(word) * push).mean().backward()
        optimizer.step()
    return (module(word).detach() - word) / 0.02


@pytest.mark.parametrize(("slot_size", "steps"), [(1, 10), (0.3, 20)])
def test_module_tells_its_tokens_apart(slot_size: float, steps: int) -> None:
    tokens = moved(64, steps, slot_size)
    assert (tokens[:, None] - tokens[None]).norm(dim=-1).fill_diagonal_(torch.inf).min() > 1


@pytest.mark.parametrize(("slot_size", "least", "most"), [(0.3, 0.5, 1), (3, -0.5, 0.5)])
def test_the_smaller_slots_are_the_more_of_what_one_token_is_taught_reaches_the_others(
    slot_size: float, least: float, most: float
) -> None:
    word, push = torch.randn(2, 192, generator=seeded())
    module = TokenModule(192, 10, scale=1.0, generator=seeded(), slot_size=slot_size)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    (module(word)[0] * push).sum().backward()
    optimizer.step()
    along = (module(word).detach() - word) @ push
    others = (along / along[0])[1:]
    assert least < others.min() and others.max() < most


@pytest.mark.parametrize(
    ("slot_size", "steps", "expected"), [(1, 1, 0.047), (1, 10, 0.75), (0.3, 1, 0.072), (0.3, 10, 1.7)]
)
def test_one_learning_rate_moves_tokens_alike_in_every_width(slot_size: float, steps: int, expected: float) -> None:
    for width in (64, 256, 512):
        assert moved(width, steps, slot_size).square().mean().sqrt().item() == pytest.approx(expected, rel=0.3)


def test_module_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(SettingError, match="7 heads"):
        TokenModule(32, 4, scale=1.0, heads=7, generator=seeded(), slot_size=1)


def test_only_tokens_that_are_too_long_are_shortened() -> None:
    tokens = torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]], [[0.0, 0.0]]])
    torch.testing.assert_close(shortened(tokens, 1), torch.tensor([[[0.6, 0.8]], [[0.3, 0.4]], [[0.0, 0.0]]]))


def test_class_rows() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert torch.equal(class_rows(rows, 2), rows)
    assert class_rows(rows, 3).tolist() == [[2.0, 4.0]] * 3


def test_strength_runs_from_the_class_word_to_the_tokens() -> None:
    table, word = pairs(), {"text_encoder": torch.randn(1, 8)}
    learned = table.vectors["text_encoder"]
    torch.testing.assert_close(table.blended(word, 1.0).vectors["text_encoder"], learned)
    torch.testing.assert_close(table.blended(word, 0.0).vectors["text_encoder"], word["text_encoder"].expand(10, 1, 8))
    halfway = table.blended(word, 0.5).vectors["text_encoder"]
    torch.testing.assert_close(halfway, (learned + word["text_encoder"]) / 2)
    assert (table.num_stages, table.num_tokens) == (5, 1)


def test_at_strength_nought_a_word_of_any_length_is_the_class_word_itself() -> None:
    only = torch.zeros(1, 1, dtype=torch.long)
    table, word = TokenTable({"text_encoder": torch.randn(1, 3, 8)}, only, only), {"text_encoder": torch.randn(2, 8)}
    nothing = table.blended(word, 0.0)
    assert nothing.num_tokens == 2 and torch.equal(nothing.vectors["text_encoder"][0], word["text_encoder"])
    assert table.blended(word, 0.5).num_tokens == 3


def test_table_at_stages_keeps_their_tokens_and_no_others() -> None:
    table, stages = pairs(), torch.tensor([3, 1, 3])
    part = table.at(stages)
    kept, learned = part.vectors["text_encoder"], table.vectors["text_encoder"]
    assert len(kept) == 4
    for stage in stages.tolist():
        assert torch.equal(kept[part.key[stage]], learned[table.key[stage]])
        assert torch.equal(kept[part.value[stage]], learned[table.value[stage]])
    assert part.key.max() < 4 and part.value.max() < 4


def test_a_bypass_grows_with_strength_and_follows_its_variant() -> None:
    table = replace(pairs(3), bypass={"text_encoder": torch.randn(6, 1, 8, generator=seeded())})
    words, own = {"text_encoder": torch.zeros(1, 8)}, table.bypass["text_encoder"]
    assert table.blended(words, 0).bypass is None
    assert torch.equal(table.blended(words, 0.5).bypass["text_encoder"], 0.5 * own)
    few = table.at(torch.tensor([2]))
    assert torch.equal(few.bypass["text_encoder"], own[4:]) and few.value[2].tolist() == [1]
    assert pairs(3).at(torch.tensor([2])).bypass is None
