"""Two people learned on the embedded model, in pipelines and beside adapters of users: each stays who they are.

Inpainting is tried on tiny models alone: diffusers' pipeline takes latents of four channels, and these have sixteen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from adapters import ip_adapter, lora, seeded
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionImg2ImgPipeline
from PIL import Image

import onephoto
from onephoto import api
from onephoto.backbone.control import load_control
from onephoto.backbone.load import Backbone, embedded_model, load_backbone
from onephoto.evaluate.control import poses
from onephoto.evaluate.face_judge import FaceJudge, shipped_face_judge
from onephoto.evaluate.people import sitter
from onephoto.evaluate.plan import learning_settings
from onephoto.generate.draw import DrawSettings, call_arguments
from onephoto.identity.file import IdentityFile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (embedded_model() / "unet").exists(), reason="the embedded model's weights are not there"),
]

SEEDS = (0, 1)
TEXT = "a photo of the face of {}"
PEOPLE = {"alice": 90_002, "bob": 90_001}
"""A woman with brown skin and brown hair, and a man with black hair: development people."""


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini")


@pytest.fixture(scope="module")
def learned(mini: Backbone) -> dict[str, IdentityFile]:
    settings = learning_settings("mini")["sefi"] | {"steps": 40}
    return {
        name: api.learn(mini, [sitter(seed).photo], api.LearnRequest(name=name, settings=settings))
        for name, seed in PEOPLE.items()
    }


@pytest.fixture(scope="module")
def judge() -> FaceJudge:
    found = shipped_face_judge()
    assert found is not None
    return found


@contextmanager
def plain(pipe: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    yield pipe, {}


def gray(side: int = 128) -> Image.Image:
    """A head and shoulders of gray on a wall."""
    pixels = np.full((side, side, 3), 190, np.uint8)
    rows, columns = np.mgrid[:side, :side]
    pixels[((rows - 55) / 30) ** 2 + ((columns - 64) / 22) ** 2 < 1] = 140
    pixels[((rows - 130) / 42) ** 2 + ((columns - 64) / 52) ** 2 < 1] = 90
    return Image.fromarray(pixels)


@contextmanager
def image_to_image(pipe: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    yield StableDiffusionImg2ImgPipeline.from_pipe(pipe), {"image": gray(), "strength": 0.9}


@contextmanager
def controlled(pipe: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    shown, _ = next(iter(poses(1, size=128)))
    steered = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=load_control(pipe.unet))
    yield steered, {"image": shown}


@contextmanager
def with_lora(pipe: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    pipe.load_lora_weights(lora(pipe), adapter_name="style")
    pipe.set_adapters("style", 0.01)
    try:
        yield pipe, {}
    finally:
        pipe.unload_lora_weights()


@contextmanager
def with_ip_adapter(pipe: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    pipe.load_ip_adapter(ip_adapter(pipe), subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(0.02)
    try:
        yield pipe, {"ip_adapter_image_embeds": [torch.randn(2, 1, 12, generator=seeded(5))]}
    finally:
        pipe.unload_ip_adapter()


WAYS: dict[str, Callable[[Any], Any]] = {
    "text to image": plain, "image to image": image_to_image, "ControlNet": controlled,
    "LoRA": with_lora, "IP-Adapter": with_ip_adapter,
}  # fmt: skip


def drawn(mini: Backbone, learned: dict[str, IdentityFile], way: str) -> dict[str, list[Image.Image]]:
    """Everybody's pictures."""
    given = call_arguments(mini, DrawSettings(steps=15), SEEDS)
    if way == "image to image":
        given = {name: value for name, value in given.items() if name not in ("height", "width")}
    with WAYS[way](mini.pipeline) as (pipe, more), onephoto.use(pipe, **learned) as people:
        return {name: pipe(**people.prompt(TEXT.format(f"<{name}>")), **given | more).images for name in learned}


@pytest.fixture(scope="module")
def unadapted(mini: Backbone, learned: dict[str, IdentityFile]) -> dict[str, list[Image.Image]]:
    return drawn(mini, learned, "text to image")


@pytest.mark.parametrize("way", WAYS)
def test_the_person_stays(
    mini: Backbone, learned: dict[str, IdentityFile], judge: FaceJudge, unadapted: dict[str, list[Image.Image]],
    way: str,
) -> None:  # fmt: skip
    """Faces are nearer to their own photo than to the other person's, and the way changes the pictures."""
    pictures = unadapted if way == "text to image" else drawn(mini, learned, way)
    photos = {name: judge.face_vector(sitter(seed).photo) for name, seed in PEOPLE.items()}
    nearer = []
    for name, images in pictures.items():
        (other,) = PEOPLE.keys() - {name}
        for image, before in zip(images, unadapted[name], strict=True):
            assert way == "text to image" or abs(np.asarray(image, int) - np.asarray(before, int)).mean() > 1
            face = judge.face_vector(image)
            if face is not None:
                nearer.append(float(face @ photos[name] - face @ photos[other]))
    assert len(nearer) >= 3 and np.mean(nearer) > 0.1, (way, nearer)
