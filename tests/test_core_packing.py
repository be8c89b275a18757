import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onephoto.core.packing import Routing, pack, packed_length, select, selected, unpack
from onephoto.core.regions import place_sizes


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 8), st.sampled_from([torch.float32, torch.float16]))
def test_packing_keeps_every_bit_and_marks_the_number(batch: int, number: int, length: int, dtype: torch.dtype) -> None:
    contexts = torch.randn(batch, number, length, 4).to(dtype)
    packed = pack(contexts)
    unpacked, places = unpack(packed, number, length)
    assert torch.equal(unpacked, contexts) and places is None
    assert bool(packed[:, -1].isnan().all())
    assert packed_length(packed, number, length) == length
    assert not packed_length(packed[:, :-1], number, length)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 8), st.integers(1, 40), st.booleans())
def test_places_travel_behind_the_mark(batch: int, number: int, length: int, width: int, masked: bool) -> None:
    contexts, places = torch.randn(batch, number, length, width), torch.rand(batch, length, place_sizes(length)[masked])
    packed = pack(contexts, places)
    unpacked, again = unpack(packed, number, length)
    assert torch.equal(unpacked, contexts) and again is not None and torch.equal(again, places)
    assert packed_length(packed, number, length) == length


SHAPES = st.sampled_from([(48, 192), (77, 768), (77, 1024), (77, 2048), (16, 32)])


@given(st.integers(1, 12), st.integers(1, 5), SHAPES, st.booleans())
def test_prompts_side_by_side_are_known_by_their_number_of_rows(
    number: int, prompts: int, shape: tuple, masked: bool
) -> None:
    length, width = shape
    own, size = prompts * length, place_sizes(length)[masked]
    packed = pack(torch.zeros(1, number, own, width), torch.ones(1, own, size))
    assert packed_length(packed, number, length) == own
    places = unpack(packed, number, own, length)[1]
    assert places is not None and places.shape == (1, own, size) and bool((places == 1).all())
    assert not packed_length(torch.zeros(1, prompts * length, width), number, length)


def test_packed_prompts_concatenate_and_repeat() -> None:
    first, second = torch.randn(2, 1, 3, 5, 4)
    both = torch.cat([pack(first), pack(second)]).repeat_interleave(2, dim=0)
    assert torch.equal(unpack(both, 3, 5)[0], torch.cat([first, second]).repeat_interleave(2, dim=0))


@given(st.data())
def test_select_picks_what_the_tables_say(data: st.DataObject) -> None:
    stages, columns = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 3]))
    number, batch, layer = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2))
    contexts = torch.randn(batch, number, 2, 3)
    routing = Routing(torch.randint(number, (stages, columns)), torch.randint(number, (stages, columns)))
    stage = torch.randint(stages, (batch,))
    key, value = select(contexts, routing, stage, layer)
    column = layer if columns > 1 else 0
    for sample, s in enumerate(stage.tolist()):
        assert torch.equal(key[sample], contexts[sample, routing.key[s, column]])
        assert torch.equal(value[sample], contexts[sample, routing.value[s, column]])


def test_select_carries_gradients_to_the_chosen_contexts_alone() -> None:
    contexts = torch.randn(1, 3, 2, 2, requires_grad=True)
    routing = Routing(torch.tensor([[0], [2]]), torch.tensor([[0], [2]]))
    key, value = select(contexts, routing, torch.tensor([1]), 0)
    (gradient,) = torch.autograd.grad((key + value).sum(), contexts)
    assert gradient[0].sum(dim=(1, 2)).tolist() == pytest.approx([0, 0, 8])


def test_gradients_of_shared_contexts_are_the_same_on_every_run() -> None:
    contexts, weights = torch.randn(10, 48, 192, requires_grad=True), torch.randn(32, 2, 48, 192)
    routing = Routing(torch.arange(5)[:, None], torch.arange(5, 10)[:, None])
    stage = torch.arange(32) % 5 // 4
    assert torch.equal(selected(contexts, routing, stage)[4, 1], contexts[6])
    threads = torch.get_num_threads()
    torch.set_num_threads(max(2, threads))
    try:
        results = [
            torch.autograd.grad((selected(contexts, routing, stage) * weights).sum(), contexts)[0] for _ in range(30)
        ]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(result, results[0]) for result in results)
