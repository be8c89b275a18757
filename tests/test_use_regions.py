"""People kept to their places by an ordinary attention mask, in stock attention."""

from typing import Any

import numpy as np
import pytest
import torch
from adapters import CALL, PERSON, PLAIN, control_net, ip_adapter, lora, picture, pipeline, seeded, somebody
from diffusers import StableDiffusionControlNetPipeline
from torch import Tensor

import onephoto
from onephoto.backbone.hooks import conditioned
from onephoto.backbone.load import wrap_pipeline
from onephoto.core.packing import Routing, pack, unpack
from onephoto.core.regions import WHOLE, token_boxes
from onephoto.errors import PromptError

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def drawn(pipe: Any, prompt: dict[str, Tensor], **arguments: Any) -> np.ndarray:
    return pipe(**prompt, **arguments, **CALL, generator=seeded()).images


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("shape", [(8, 8), (6, 10), (5, 7)])
def test_a_token_reaches_no_position_outside_its_box(family: str, shape: tuple[int, int]) -> None:
    backbone = wrap_pipeline(pipeline(family))
    width, length = backbone.unet.config.cross_attention_dim, backbone.max_length
    contexts = torch.randn(1, 2, length, width, generator=seeded())
    changed = contexts.clone()
    changed[:, :, 5] += 3
    boxes = token_boxes(1, [LEFT if column == 5 else WHOLE for column in range(length)])[None]
    routing = Routing(torch.tensor([[0]]), torch.tensor([[1]]))
    noisy = torch.randn(1, 4, *shape, generator=seeded())
    seen: list[Tensor] = []
    backbone.layers[0].module.register_forward_hook(lambda module, args, output: seen.append(output))
    pooled = torch.zeros(1, 32)
    times = torch.tensor([[16.0, 16, 0, 0, 16, 16]])
    added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": times}} if family == "sdxl" else {}
    with conditioned(backbone.unet, backbone.layers, routing, length=length, num_timesteps=1000, num_contexts=2):
        for packed in (pack(contexts, boxes), pack(changed, boxes)):
            backbone.unet(noisy, torch.tensor(500), encoder_hidden_states=packed, **added)
    moved = (seen[0] - seen[1]).abs().amax(-1).reshape(shape)
    edge = -(-shape[1] // 2)
    assert bool((moved[:, edge:] == 0).all()) and bool((moved[:, :edge] > 0).all())


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_region_changes_the_picture_and_the_whole_picture_is_none(family: str) -> None:
    pipe = pipeline(family)
    before = drawn(pipe, {"prompt": PLAIN})
    processors = dict(pipe.unet.attn_processors)
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        free = drawn(pipe, people.prompt(PERSON))
        whole = drawn(pipe, people.prompt(PERSON, regions={"alice": (0, 0, 1, 1)}))
        left = drawn(pipe, people.prompt(PERSON, regions={"alice": LEFT}))
        right = drawn(pipe, people.prompt(PERSON, regions={"Alice": RIGHT}))
        assert pipe.unet.attn_processors == processors
    assert abs(free - whole).max() < 1e-4
    assert min(abs(free - left).max(), abs(left - right).max()) > 1e-3
    assert np.array_equal(drawn(pipe, {"prompt": PLAIN}), before)


@torch.no_grad()
def test_each_box_reads_a_prompt_in_which_others_are_left_to_the_class_word() -> None:
    """The words after a name have read it; so no token that a box reads may have read anybody of another one."""
    pipe = pipeline()
    text, regions = "a photo of <alice> and <bob> at the beach", {"alice": LEFT, "bob": (0.5, 0, 1, 0.5)}
    with onephoto.use(pipe, alice=somebody(pipe), bob=somebody(pipe, seed=1)) as people:
        length, number = people.backbone.max_length, len(people.choices)

        def read(words: str, boxes: Any = None) -> Tensor:
            return unpack(
                people.prompt(words, regions=boxes)["prompt_embeds"], number, 3 * length if boxes else length
            )[0]

        views = read(text, regions).unflatten(2, (3, length)).unbind(2)
        said = [text.replace(*pair) for pair in (("<bob>", "person"), ("<alice>", "person"))]
        for view, words in zip(views, (*said, said[0].replace("<alice>", "person")), strict=True):
            assert torch.allclose(view, read(words), atol=1e-5)


def test_two_people_each_in_their_place_beside_every_adapter() -> None:
    pipe = pipeline()
    pipe = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=control_net(pipe))
    pipe.set_progress_bar_config(disable=True)
    alice, bob = somebody(pipe), somebody(pipe, seed=1)
    pipe.load_lora_weights(lora(pipe))
    pipe.load_ip_adapter(ip_adapter(pipe), subfolder="", weight_name="", image_encoder_folder=None)
    arguments = {"image": picture(), "ip_adapter_image_embeds": [torch.randn(2, 1, 12, generator=seeded(5))]}
    text = "a photo of <alice> and <bob>"
    with onephoto.use(pipe, alice=alice, bob=bob) as people:
        pictures = [
            drawn(pipe, people.prompt(text, regions=regions), **arguments)
            for regions in ({}, {"alice": LEFT, "bob": RIGHT}, {"alice": RIGHT, "bob": LEFT})
        ]
    assert min(abs(pictures[0] - pictures[1]).max(), abs(pictures[1] - pictures[2]).max()) > 1e-3


def test_regions_that_make_no_sense_are_refused() -> None:
    pipe = pipeline()
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        with pytest.raises(PromptError, match="does not name"):
            people.prompt(PERSON, regions={"bob": LEFT})
        with pytest.raises(PromptError, match="left,top,right,bottom"):
            people.prompt(PERSON, regions={"alice": (0.5, 0, 0.2, 1)})
