"""People kept to their places by an ordinary attention mask, in stock attention."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import CALL, PERSON, PLAIN, control_net, ip_adapter, lora, picture, pipeline, seeded, somebody
from diffusers import StableDiffusionControlNetPipeline
from PIL import Image
from torch import Tensor

import onephoto
from onephoto.backbone.hooks import conditioned
from onephoto.backbone.load import wrap_pipeline
from onephoto.core.packing import Routing, pack, unpack
from onephoto.core.regions import WHOLE, Place, mask_of, token_places
from onephoto.errors import PromptError

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def drawn(pipe: Any, prompt: dict[str, Tensor], **arguments: Any) -> np.ndarray:
    return pipe(**prompt, **arguments, **CALL, generator=seeded()).images


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("place", [LEFT, mask_of(torch.ones(10, 10).cumsum(1) <= 5)], ids=["box", "mask"])
@pytest.mark.parametrize("shape", [(8, 8), (6, 10), (5, 7)])
def test_a_token_reaches_no_position_outside_its_place(family: str, shape: tuple[int, int], place: Place) -> None:
    backbone = wrap_pipeline(pipeline(family))
    width, length = backbone.unet.config.cross_attention_dim, backbone.max_length
    contexts = torch.randn(1, 2, length, width, generator=seeded())
    changed = contexts.clone()
    changed[:, :, 5] += 3
    places = token_places(length, [WHOLE, place])[None]
    contexts, changed = contexts.repeat(1, 1, 2, 1), torch.cat([contexts, changed], dim=2)
    routing = Routing(torch.tensor([[0]]), torch.tensor([[1]]))
    noisy = torch.randn(1, 4, *shape, generator=seeded())
    seen: list[Tensor] = []
    backbone.layers[0].module.register_forward_hook(lambda module, args, output: seen.append(output))
    pooled = torch.zeros(1, 32)
    times = torch.tensor([[16.0, 16, 0, 0, 16, 16]])
    added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": times}} if family == "sdxl" else {}
    with conditioned(backbone.unet, backbone.layers, routing, length=length, num_timesteps=1000, num_contexts=2):
        for packed in (pack(contexts, places), pack(changed, places)):
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
        for box in ((0.5, 0, 0.2, 1), (0, 0, 300, 300), (0, 0, 1)):
            with pytest.raises(PromptError, match="left,top,right,bottom"):
                people.prompt(PERSON, regions={"alice": box})


def painted(*boxes: tuple[float, ...], side: int = 48) -> Image.Image:
    """A mask that is white in these boxes, in shares."""
    image = Image.new("L", (side, side))
    for box in boxes:
        left, top, right, bottom = (round(share * side) for share in box)
        image.paste(255, (left, top, right, bottom))
    return image


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_mask_draws_what_the_box_of_its_shape_draws(family: str, tmp_path: Path) -> None:
    pipe = pipeline(family)
    painted(LEFT).save(tmp_path / "left.png")
    shapes = (
        painted(LEFT), tmp_path / "left.png", str(tmp_path / "left.png"), np.asarray(painted(LEFT)) > 0,
        torch.ones(1, 10, 10).cumsum(2) <= 5, painted(LEFT).convert("RGB"),
    )  # fmt: skip
    with onephoto.use(pipe, alice=somebody(pipe), bob=somebody(pipe, seed=1)) as people:
        text = "a photo of <alice> and <bob>"
        boxes = drawn(pipe, people.prompt(text, "red", regions={"alice": LEFT, "bob": RIGHT}))
        for number, left in enumerate(shapes):
            other = painted(RIGHT) if number % 2 else RIGHT
            masks = drawn(pipe, people.prompt(text, "red", regions={"alice": left, "bob": other}))
            assert abs(masks - boxes).max() < 1e-4
        corners = painted((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1))
        crossed = drawn(pipe, people.prompt(text, "red", regions={"alice": corners, "bob": RIGHT}))
    assert abs(crossed - boxes).max() > 1e-3


@pytest.mark.slow
def test_masks_keep_people_in_control_nets_and_compiled_models_too() -> None:
    pipe = pipeline()
    pipe = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=control_net(pipe))
    pipe.set_progress_bar_config(disable=True)
    regions = {"alice": painted(LEFT), "bob": RIGHT}
    pictures = []
    for _ in range(2):
        with onephoto.use(pipe, alice=somebody(pipe), bob=somebody(pipe, seed=1)) as people:
            pictures.append(drawn(pipe, people.prompt("<alice> and <bob>", regions=regions), image=picture()))
        pipe.unet.compile(backend="eager", fullgraph=True)
    assert abs(pictures[0] - pictures[1]).max() < 1e-4


def test_masks_hold_in_narrow_numbers() -> None:
    pipe = pipeline().to(torch.bfloat16)
    with onephoto.use(pipe, alice=somebody(pipe), bob=somebody(pipe, seed=1)) as people:
        prompts = [
            people.prompt("<alice> and <bob>", regions={"alice": left, "bob": RIGHT}) for left in (LEFT, painted(LEFT))
        ]
        assert abs(drawn(pipe, prompts[0]) - drawn(pipe, prompts[1])).max() < 0.02


def test_masks_that_are_none_are_refused_in_a_line(tmp_path: Path) -> None:
    pipe = pipeline()
    (tmp_path / "text.png").write_text("no picture")
    clear = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    wrong = {
        "black all over": Image.new("L", (8, 8)), "white where the person": clear,
        "shape .8, 8, 3.": np.ones((8, 8, 3)), "shape .4,.": np.ones(4),
        "no such file": tmp_path / "none.png", "not a picture": tmp_path / "text.png",
    }  # fmt: skip
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        for words, mask in wrong.items():
            with pytest.raises(PromptError, match=words) as stop:
                people.prompt(PERSON, regions={"alice": mask})
            assert "\n" not in str(stop.value)
    with pytest.raises(PromptError, match="other proportions than the picture, 16 x 16"):
        onephoto.generate(pipe, PERSON, [somebody(pipe)], regions={"alice": Image.new("L", (16, 8), 255)})
