import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onephoto.core.regions import (
    GRID,
    REST,
    WHOLE,
    Mask,
    Place,
    in_shares,
    mask_of,
    meets,
    place_sizes,
    region_bias,
    token_places,
)


def bias(place: Place, height: int, width: int, length: int = 1) -> torch.Tensor:
    """What one of three prompts, the middle one, has added on a map of this size, (height, width, 3 length)."""
    places = token_places(length, [WHOLE, place, WHOLE])[None]
    sides = (torch.tensor([[[side]]]) for side in (height, width))
    return region_bias(places, *sides, height * width, length=length)[0].unflatten(0, (height, width))


def lit(height: int, width: int, *boxes: tuple[int, int, int, int]) -> torch.Tensor:
    """A mask of this many pixels, lit in these boxes of pixels."""
    pixels = torch.zeros(height, width, dtype=torch.bool)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = True
    return pixels


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
    places = token_places(2, [left, right, REST])
    assert places.shape == (6, 4)
    sides = (torch.tensor([[[side]]]) for side in (4, 4))
    allowed = region_bias(places[None], *sides, 16, length=2)[0].unflatten(0, (4, 4)) == 0
    assert torch.equal(allowed[..., 4], ~allowed[..., 0] & ~allowed[..., 2])
    assert int(allowed[..., 4].sum()) == 4 and bool(allowed.any(-1).all())


def test_the_whole_picture_adds_nothing() -> None:
    assert bool((bias((0, 0, 1, 1), 3, 5) == 0).all())


SIDES, CUTS = st.integers(1, 30), st.integers(0, GRID - 1)
few = settings(max_examples=30, deadline=None)


@few
@given(CUTS, CUTS, st.integers(1, 20), st.integers(1, 20), SIDES, SIDES, st.sampled_from([1, 16]))
def test_a_mask_of_a_boxs_shape_is_that_box(
    left: int, top: int, across: int, down: int, height: int, width: int, length: int
) -> None:
    right, bottom = min(left + across, GRID), min(top + down, GRID)
    box = (left / GRID, top / GRID, right / GRID, bottom / GRID)
    mask = mask_of(lit(2 * GRID, 2 * GRID, (2 * left, 2 * top, 2 * right, 2 * bottom)))
    assert torch.equal(bias(mask, height, width, length), bias(box, height, width, length))
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert meets(mask, (left / GRID + 1e-3, top / GRID + 1e-3)) and meets(mask, middle) == meets(box, middle)


@few
@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_mask_of_one_pixel_has_a_place_at_every_size(
    height: int, width: int, rows: int, columns: int, data: st.DataObject
) -> None:
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = mask_of(lit(height, width, (x, y, x + 1, y + 1)))
    allowed = bias(mask, rows, columns)[..., 1] == 0
    assert bool(allowed[int((y + 0.5) / height * rows), int((x + 0.5) / width * columns)])
    assert meets(mask, ((x + 0.5) / width, (y + 0.5) / height))


def test_a_mask_keeps_its_shape_and_the_rest_is_what_it_leaves() -> None:
    ring = lit(64, 64, (0, 0, 64, 64)) & ~lit(64, 64, (16, 16, 48, 48))
    places = token_places(3, [mask_of(ring), (0.25, 0.25, 0.5, 0.75), REST])
    assert places.shape == (9, place_sizes(3)[1])
    sides = (torch.tensor([[[side]]]) for side in (8, 8))
    allowed = region_bias(places[None], *sides, 64, length=3)[0].unflatten(0, (8, 8))[..., ::3] == 0
    assert int(allowed[..., 0].sum()) == 48 and not allowed[2:6, 2:6, 0].any()
    assert bool(allowed[2:6, 2:4, 1].all()) and int(allowed[..., 1].sum()) == 8
    assert torch.equal(allowed[..., 2], ~allowed[..., 0] & ~allowed[..., 1])
    assert not meets(mask_of(ring), (0.5, 0.5)) and meets(mask_of(ring), (1.0, 1.0))


def test_masks_are_compared_by_what_they_hold() -> None:
    assert mask_of(lit(8, 8, (0, 0, 4, 8))) == mask_of(lit(16, 16, (0, 0, 8, 16))) != Mask((True,) * GRID**2)


def test_boxes_come_in_shares_or_pixels() -> None:
    assert in_shares((0, 0.25, 0.5, 1), 512, 256) == (0, 0.25, 0.5, 1)
    assert in_shares((0, 64, 256, 256), 512, 256) == (0, 0.25, 0.5, 1)
    assert meets((0, 0, 0.5, 1), (0.3, 0.9)) and not meets((0, 0, 0.5, 1), (0.6, 0.9))
