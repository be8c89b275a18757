import torch
from hypothesis import given
from hypothesis import strategies as st

from onephoto.core.stages import stage_bounds, stage_index


@st.composite
def divisions(draw: st.DrawFn) -> tuple[int, int]:
    num_timesteps = draw(st.integers(1, 1000))
    return draw(st.integers(1, min(num_timesteps, 50))), num_timesteps


@given(divisions())
def test_stages_run_from_noise_to_picture_in_near_equal_parts(division: tuple[int, int]) -> None:
    num_stages, num_timesteps = division
    stages = stage_index(torch.arange(num_timesteps), num_stages, num_timesteps)
    assert stages[-1] == 0 and stages[0] == num_stages - 1
    assert bool((stages.diff() <= 0).all())
    sizes = stages.bincount(minlength=num_stages)
    assert sizes.max() - sizes.min() <= 1


@given(divisions())
def test_bounds_and_index_say_the_same(division: tuple[int, int]) -> None:
    num_stages, num_timesteps = division
    bounds = stage_bounds(num_stages, num_timesteps)
    passed = torch.arange(num_timesteps)
    expected = torch.bucketize(passed, bounds[1:], right=True)
    assert torch.equal(stage_index(num_timesteps - 1 - passed, num_stages, num_timesteps), expected)


def test_five_stages_of_a_thousand() -> None:
    t = torch.tensor([999, 800, 799, 600, 599, 400, 200, 199, 0])
    assert stage_index(t, 5, 1000).tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4]


def test_fractional_and_outlying_timesteps_have_a_stage() -> None:
    t = torch.tensor([999.9, 1000.0, 799.5, 0.4, -1.0])
    stages = stage_index(t, 5, 1000)
    assert stages.dtype == torch.long
    assert stages.tolist() == [0, 0, 1, 4, 4]
