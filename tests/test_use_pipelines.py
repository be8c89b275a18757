"""A person in every pipeline that users have: it draws them, each input of the pipeline still acts, no trace stays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from adapters import CALL, PERSON, PLAIN, control_net, picture, pipeline, seeded, somebody
from diffusers import (
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)

import onephoto

Case = tuple[Any, dict[str, Any]]


def text_to_image(family: str) -> Case:
    return pipeline(family), {}


def image_to_image(family: str) -> Case:
    kind = StableDiffusionXLImg2ImgPipeline if family == "sdxl" else StableDiffusionImg2ImgPipeline
    return kind.from_pipe(pipeline(family)), {"image": picture(), "strength": 0.9}


def inpainting(family: str) -> Case:
    kind = StableDiffusionXLInpaintPipeline if family == "sdxl" else StableDiffusionInpaintPipeline
    mask = picture()[:, :1].round()
    size = {"height": 16, "width": 16}
    return kind.from_pipe(pipeline(family)), {"image": picture(), "mask_image": mask, "strength": 0.9, **size}


def control(family: str) -> Case:
    pipe = pipeline(family)
    kind = StableDiffusionXLControlNetPipeline if family == "sdxl" else StableDiffusionControlNetPipeline
    return kind.from_pipe(pipe, controlnet=control_net(pipe)), {"image": picture()}


def two_controls(family: str) -> Case:
    pipe = pipeline(family)
    kind = StableDiffusionXLControlNetPipeline if family == "sdxl" else StableDiffusionControlNetPipeline
    nets = [control_net(pipe, 1), control_net(pipe, 2)]
    scales = {"controlnet_conditioning_scale": [0.5, 0.8]}
    return kind.from_pipe(pipe, controlnet=nets), {"image": [picture(), 1 - picture()], **scales}


def image_with_control(family: str) -> Case:
    pipe = pipeline(family)
    kind = StableDiffusionControlNetImg2ImgPipeline
    arguments = {"image": picture(), "control_image": picture(), "strength": 0.9}
    return kind.from_pipe(pipe, controlnet=control_net(pipe)), arguments


KINDS = [text_to_image, image_to_image, inpainting, control, two_controls]
CASES = [(kind, family) for family in ("sd1", "sdxl") for kind in KINDS] + [(image_with_control, "sd1")]


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_a_person_is_drawn_and_no_trace_stays(kind: Callable[[str], Case], family: str) -> None:
    pipe, arguments = kind(family)
    pipe.set_progress_bar_config(disable=True)

    def draw(**prompt: Any) -> np.ndarray:
        return pipe(**prompt, **arguments, **CALL, generator=seeded()).images

    before = draw(prompt=PLAIN)
    identity = somebody(pipe)
    with onephoto.use(pipe, alice=identity) as people:
        assert abs(draw(**people.prompt(PERSON)) - before).max() > 1e-3
        assert np.array_equal(draw(prompt=PLAIN), before)
    # At strength 0 the person is the class word, so every cross-attention of every model must see what it saw before.
    with onephoto.use(pipe, alice=identity, strengths={"alice": 0}) as people:
        assert abs(draw(**people.prompt(PERSON)) - before).max() < 1e-4
    assert np.array_equal(draw(prompt=PLAIN), before)


@pytest.mark.parametrize("kind", [control, two_controls])
def test_each_control_net_reads_the_person_at_its_stage(kind: Callable[[str], Case]) -> None:
    pipe, arguments = kind("sd1")
    pipe.set_progress_bar_config(disable=True)
    nets = getattr(pipe.controlnet, "nets", [pipe.controlnet])
    seen: list[Any] = []
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        for net in nets:
            layer = net.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2.to_v")
            layer.register_forward_hook(lambda module, args, output: seen.append(args[0][-1]))
        prompt = people.prompt(PERSON)
        pipe(**prompt, **arguments, **(CALL | {"num_inference_steps": 5}), generator=seeded())
    assert len(seen) == 5 * len(nets)
    contexts = prompt["prompt_embeds"][0, :-1].unflatten(0, (10, -1))
    for step in range(5):
        assert all((seen[len(nets) * step + number] == contexts[5 + step]).all() for number in range(len(nets)))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_control_changes_what_is_drawn_of_a_person(family: str) -> None:
    pipe, arguments = control(family)
    pipe.set_progress_bar_config(disable=True)
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        prompt = people.prompt(PERSON)
        one = pipe(**prompt, **arguments, **CALL, generator=seeded()).images
        other = pipe(**prompt, image=1 - arguments["image"], **CALL, generator=seeded()).images
    assert abs(one - other).max() > 1e-3


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_batches_of_prompts_and_several_pictures_of_each(family: str) -> None:
    import torch

    pipe = pipeline(family)
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        own = people.prompt(PERSON, "red")
        other = people.prompt("a photo of a dog", "red")
        both = {name: torch.cat([own[name], other[name]]) for name in own}
        noises = [seeded(seed) for seed in (1, 2, 3, 4)]
        four = pipe(**both, **CALL, num_images_per_prompt=2, generator=noises).images
        alone = [
            pipe(**prompt, **CALL, generator=seeded(seed)).images[0]
            for prompt, seed in ((own, 1), (own, 2), (other, 3), (other, 4))
        ]
        plain = pipe("a photo of a dog", negative_prompt="red", **CALL, generator=seeded(3)).images[0]
    assert abs(four - np.stack(alone)).max() < 1e-4
    assert abs(four[2] - plain).max() < 1e-4
