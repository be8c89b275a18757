from collections.abc import Iterator

import pytest
import torch
from tiny import LENGTH, tiny_backbone, tiny_pipeline
from torch import Tensor

from onephoto.backbone.hooks import conditioned, project_keys, recording, split_heads
from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import Conditioning, encode, encode_plain
from onephoto.backbone.use import use
from onephoto.core.packing import Routing, pack
from onephoto.core.tokens import TokenTable

FAMILIES = ("sd1", "sd2", "sdxl")
CALL = {"num_inference_steps": 3, "output_type": "np", "guidance_scale": 5.0}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def table(backbone: Backbone, num_stages: int, seed: int = 0, num_layers: int = 1) -> TokenTable:
    generator = torch.Generator().manual_seed(seed)
    count = 2 * num_stages * num_layers
    vectors = {
        name: torch.randn(count, 1, rows.shape[1], generator=generator)
        for name, rows in backbone.class_vectors("person").items()
    }
    numbers = torch.arange(count).reshape(num_stages, num_layers, 2)
    return TokenTable(vectors, numbers[..., 0], numbers[..., 1])


def drawn(backbone: Backbone, batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, backbone.latent_size, backbone.latent_size, generator=seeded())


def added(backbone: Backbone, plain: Conditioning) -> dict:
    return backbone.added_conditions(plain, 2)


@pytest.fixture(params=FAMILIES)
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    yield tiny_backbone(request.param)


def hooks_of(backbone: Backbone) -> int:
    return sum(
        len(module._forward_pre_hooks) + len(module._forward_hooks)
        for part in (backbone.unet, *backbone.text_encoders)
        for module in part.modules()
    )


@torch.no_grad()
def test_the_same_text_for_k_and_v_is_stock_diffusers_bit_for_bit(backbone: Backbone) -> None:
    plain = encode_plain(backbone, "a photo of the face of person")
    context = plain.contexts.expand(2, -1, -1)
    t = torch.tensor([900, 20])
    stock = backbone.unet(drawn(backbone), t, encoder_hidden_states=context, **added(backbone, plain)).sample
    split = Conditioning(
        plain.contexts.expand(4, -1, -1), Routing(torch.tensor([[0], [2]]), torch.tensor([[1], [3]])), plain.pooled,
        plain.words, plain.cut,
    )  # fmt: skip
    assert torch.equal(backbone.predict(drawn(backbone), t, split), stock)


def test_nothing_stays_behind_also_after_an_error(backbone: Backbone) -> None:
    before = hooks_of(backbone)
    with pytest.raises(RuntimeError, match="stop"), use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}):
        assert hooks_of(backbone) > before
        raise RuntimeError("stop")
    assert hooks_of(backbone) == before


def test_pictures_are_bit_identical_after_use() -> None:
    pipe = tiny_pipeline("sd1")
    before = pipe("a photo of a dog", generator=seeded(), **CALL).images
    with use(pipe, {"v": table(tiny_backbone("sd1"), 5)}, {"v": "person"}) as people:
        other = pipe(**people.prompt("a photo of <v>"), generator=seeded(), **CALL).images
        assert not (other == before).all()
        assert (pipe("a photo of a dog", generator=seeded(), **CALL).images == before).all()
    assert (pipe("a photo of a dog", generator=seeded(), **CALL).images == before).all()


def test_packed_prompts_survive_guidance_batches_and_several_pictures(backbone: Backbone) -> None:
    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        prompt = people.prompt("a photo of <v>", "red")
        one = backbone.pipeline(**prompt, generator=seeded(), **CALL).images
        two = backbone.pipeline(
            **prompt, num_images_per_prompt=2, generator=[seeded(), seeded().manual_seed(4)], **CALL
        ).images
    assert abs(two[0] - one[0]).max() < 1e-4
    assert abs(two[1] - one[0]).max() > 1e-3


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_packed_prompt_outside_its_use_makes_no_picture() -> None:
    pipe = tiny_pipeline("sd1")
    with use(pipe, {"v": table(tiny_backbone("sd1"), 5)}, {"v": "person"}) as people:
        prompt = people.prompt("a photo of <v>")
    latents = pipe(**prompt, generator=seeded(), **(CALL | {"output_type": "latent"})).images
    assert latents.isnan().all()


@torch.no_grad()
def test_each_stage_and_layer_reads_its_own_contexts(backbone: Backbone) -> None:
    number = len(backbone.layers)
    routing = Routing(torch.arange(2 * number).reshape(2, number), torch.arange(2 * number).reshape(2, number) % 3)
    width = backbone.unet.config.cross_attention_dim
    contexts = torch.randn(1, 2 * number, LENGTH, width, generator=seeded())
    plain = encode_plain(backbone, "a dog")
    seen: list[Tensor] = []
    for layer in backbone.layers:
        layer.module.to_v.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with conditioned(
        backbone.unet, backbone.layers, routing, length=LENGTH, num_timesteps=1000, num_contexts=2 * number
    ):
        packed = pack(contexts).expand(2, -1, -1)
        backbone.unet(drawn(backbone), torch.tensor([999.5, 3]), encoder_hidden_states=packed, **added(backbone, plain))
    for layer in range(number):
        assert torch.equal(seen[layer][0], contexts[0, routing.value[0, layer]])
        assert torch.equal(seen[layer][1], contexts[0, routing.value[1, layer]])


@torch.no_grad()
def test_records_hold_what_the_layers_saw(backbone: Backbone) -> None:
    plain = encode_plain(backbone, "a photo of a dog")
    chosen = backbone.layers[1:3]
    with recording(chosen) as records:
        backbone.predict(drawn(backbone), torch.tensor([500, 100]), plain)
    assert len(records.queries) == len(records.keys) == 2
    for layer, key in zip(chosen, records.keys, strict=True):
        assert torch.equal(key[:1], project_keys(layer, plain.contexts))


def test_heads_are_split_like_the_processors_do() -> None:
    rows = torch.arange(24.0).reshape(1, 2, 12)
    assert torch.equal(split_heads(rows, 3)[0, 1], rows[0, :, 4:8])


def test_gradients_reach_the_tokens_and_nothing_else(backbone: Backbone) -> None:
    tokens = table(backbone, 5)
    for rows in tokens.vectors.values():
        rows.requires_grad_()
    conditioning = encode(backbone, "a photo of <v>", {"v": tokens}, classes={"v": "person"})
    backbone.predict(drawn(backbone), torch.tensor([900, 100]), conditioning).square().mean().backward()
    assert all(rows.grad is not None and rows.grad.abs().sum() > 0 for rows in tokens.vectors.values())
    assert all(parameter.grad is None for parameter in backbone.unet.parameters())
    assert all(parameter.grad is None for encoder in backbone.text_encoders for parameter in encoder.parameters())


@torch.no_grad()
def test_people_with_other_numbers_of_stages_keep_them(backbone: Backbone) -> None:
    tables = {"a": table(backbone, 5, 1), "b": table(backbone, 3, 2)}
    classes = {"a": "person", "b": "person"}
    t = torch.tensor([850, 130])
    alone = backbone.predict(drawn(backbone), t, encode(backbone, "a photo of <a>", tables, classes=classes))
    with use(backbone.pipeline, tables, classes) as people:
        prompt = people.prompt("a photo of <a>")["prompt_embeds"].nan_to_num().expand(2, -1, -1)
        plain = encode(backbone, "a photo of person", {}, classes={})
        together = backbone.unet(drawn(backbone), t, encoder_hidden_states=prompt, **added(backbone, plain)).sample
    assert torch.allclose(alone, together, atol=1e-6)


def test_layers_know_their_downsampling(backbone: Backbone) -> None:
    assert {layer.factor for layer in backbone.layers} == {1, 2}
    assert backbone.layers[0].name.startswith("down_blocks.0")
    assert backbone.layers[-1].name.startswith("up_blocks.1")
