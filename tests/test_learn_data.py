from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from onephoto.core.stages import stage_index
from onephoto.errors import SettingError
from onephoto.learn.data import batch_drawer, encode_photos, photo_pixels, random_crop, stratified_timesteps


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 12), st.integers(1, 10), st.integers(12, 1000))
def test_timesteps_cover_each_stage_equally(num_stages: int, batch_size: int, num_timesteps: int) -> None:
    generator = seeded()
    counts = torch.zeros(num_stages, dtype=torch.long)
    for step in range(num_stages):
        t = stratified_timesteps(step, batch_size, generator, num_stages=num_stages, num_timesteps=num_timesteps)
        counts += stage_index(t, num_stages, num_timesteps).bincount(minlength=num_stages)
        assert t.min() >= 0 and t.max() < num_timesteps
        assert counts.max() - counts.min() <= 1
    assert counts.tolist() == [batch_size] * num_stages


def test_timesteps_reach_all_of_a_stage() -> None:
    generator, options = seeded(), {"num_stages": 2, "num_timesteps": 7}
    seen = {t for step in range(100) for t in stratified_timesteps(step, 2, generator, **options).tolist()}
    assert seen == set(range(7))


def test_batches_repeat_with_their_generator_and_hold_the_latents() -> None:
    latents = torch.arange(3.0)[:, None, None, None].expand(3, 4, 2, 2)
    draw_batch = batch_drawer(latents, batch_size=5, num_stages=5, num_timesteps=1000)
    one, other = draw_batch(7, seeded()), draw_batch(7, seeded())
    assert torch.equal(one.noise, other.noise) and torch.equal(one.timesteps, other.timesteps)
    assert torch.equal(one.latents, other.latents)
    assert one.latents.shape == one.noise.shape == (5, 4, 2, 2)
    drawn = {int(draw_batch(0, seeded(seed)).latents[0, 0, 0, 0]) for seed in range(30)}
    assert drawn == {0, 1, 2}


def test_weights_go_with_their_latents() -> None:
    latents = torch.arange(3.0)[:, None, None, None].expand(3, 4, 2, 2)
    options = {"batch_size": 5, "num_stages": 5, "num_timesteps": 1000}
    batch = batch_drawer(latents, weights=latents[:, :1], **options)(0, seeded())
    assert batch.weights is not None and torch.equal(batch.weights, batch.latents[:, :1])
    assert batch_drawer(latents, **options)(0, seeded()).weights is None


def test_more_stages_than_timesteps_are_refused() -> None:
    with pytest.raises(SettingError, match="11 stages"):
        batch_drawer(torch.zeros(1, 4, 2, 2), batch_size=1, num_stages=11, num_timesteps=10)


def camera() -> SimpleNamespace:
    """A backbone whose latents are the pixels."""

    def encode_image(pixels: Tensor, generator: torch.Generator) -> Tensor:
        return pixels

    return SimpleNamespace(image_size=8, device="cpu", encode_image=encode_image)


def test_pixels_run_from_minus_one_to_one() -> None:
    image = Image.new("RGB", (2, 3), (0, 255, 51))
    pixels = photo_pixels(image)
    assert pixels.shape == (3, 3, 2)
    assert pixels[:, 0, 0].tolist() == pytest.approx([-1, 1, -0.6])


def test_photos_are_encoded_with_their_mirror_images_and_crops() -> None:
    image = Image.linear_gradient("L").rotate(90).convert("RGB").resize((16, 16))
    plain = encode_photos(camera(), [image], generator=seeded(), flip=False)
    assert plain.shape == (1, 3, 8, 8)
    flipped = encode_photos(camera(), [image, image], generator=seeded())
    assert flipped.shape == (4, 3, 8, 8)
    assert torch.equal(flipped[1], flipped[0].flip(-1)) and torch.equal(flipped[0], plain[0])
    assert encode_photos(camera(), [image], generator=seeded(), crops=3).shape == (8, 3, 8, 8)
    assert encode_photos(camera(), [image], generator=seeded(), size=12).shape == (2, 3, 12, 12)


def test_a_crop_is_a_part_of_the_photo() -> None:
    pixels = torch.arange(300.0).reshape(3, 10, 10)
    crop = random_crop(pixels, 0.8, seeded())
    assert crop.shape == (3, 8, 8)
    top, left = divmod(int(crop[0, 0, 0]), 10)
    assert torch.equal(crop, pixels[:, top : top + 8, left : left + 8])
