import torch
from hypothesis import given
from hypothesis import strategies as st

from onephoto.core.regions import REST, WHOLE, in_shares, meets, region_bias, token_boxes


def bias(box: tuple[float, float, float, float], height: int, width: int) -> torch.Tensor:
    """What one of three tokens, the middle one, has added on a map of this size, (height, width)."""
    boxes = token_boxes(1, [WHOLE, box, WHOLE])[None]
    sides = (torch.tensor([[[side]]]) for side in (height, width))
    return region_bias(boxes, *sides, height * width)[0].unflatten(0, (height, width))


def test_a_word_acts_in_its_box_alone_and_others_everywhere() -> None:
    added = bias((0.5, 0.0, 1.0, 0.5), 4, 8)
    assert bool((added[..., [0, 2]] == 0).all())
    allowed = added[..., 1] == 0
    assert bool(allowed[:2, 4:].all()) and int(allowed.sum()) == 8
    assert bool(added[..., 1][~allowed].isneginf().all())


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.integers(1, 9), st.integers(1, 9))
def test_everybody_has_a_place_on_the_coarsest_map(left: float, top: float, height: int, width: int) -> None:
    assert bool((bias((left, top, left + 0.05, top + 0.05), height, width)[..., 1] == 0).any())


def test_the_rest_is_where_nobody_is() -> None:
    left, right = (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 1.0)
    boxes = token_boxes(2, [left, right, REST])
    assert boxes.shape == (6, 4)
    sides = (torch.tensor([[[side]]]) for side in (4, 4))
    allowed = region_bias(boxes[None], *sides, 16)[0].unflatten(0, (4, 4)) == 0
    assert torch.equal(allowed[..., 4], ~allowed[..., 0] & ~allowed[..., 2])
    assert int(allowed[..., 4].sum()) == 4 and bool(allowed.any(-1).all())


def test_the_whole_picture_adds_nothing() -> None:
    assert bool((bias((0, 0, 1, 1), 3, 5) == 0).all())


def test_boxes_come_in_shares_or_pixels() -> None:
    assert in_shares((0, 0.25, 0.5, 1), 512, 256) == (0, 0.25, 0.5, 1)
    assert in_shares((0, 64, 256, 256), 512, 256) == (0, 0.25, 0.5, 1)
    assert meets((0, 0, 0.5, 1), (0.3, 0.9)) and not meets((0, 0, 0.5, 1), (0.6, 0.9))
