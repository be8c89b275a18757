from collections.abc import Iterator

import pytest
import torch
from tiny import LENGTH, tiny_backbone, tiny_pipeline
from torch import Tensor, nn

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


def projected(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The projections to K and V that have work to do, as they have it."""
    own = {module for layer in backbone.layers for module in (layer.module.to_k, layer.module.to_v)}
    seen, forward = [], nn.Linear.forward

    def counting(module: nn.Linear, x: Tensor) -> Tensor:
        if module in own and x.numel():
            seen.append(module)
        return forward(module, x)

    monkeypatch.setattr(nn.Linear, "forward", counting)
    return seen


def test_k_and_v_are_computed_once_a_stage_and_give_the_same_picture(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = projected(backbone, monkeypatch)
    call = CALL | {"num_inference_steps": 20}
    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        prompt = people.prompt("a photo of <v>", "red")
        kept = backbone.pipeline(**prompt, generator=seeded(), **call).images
        assert len(seen) == 5 * 2 * len(backbone.layers)
        again = backbone.pipeline(**prompt, generator=seeded(), **call).images
    seen.clear()
    for layer in backbone.layers:
        # Who looks on sees every step.
        layer.module.to_k.register_forward_hook(lambda *_: None)
        layer.module.to_v.register_forward_hook(lambda *_: None)
    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        anew = backbone.pipeline(**people.prompt("a photo of <v>", "red"), generator=seeded(), **call).images
    assert len(seen) == 20 * 2 * len(backbone.layers)
    assert (kept == anew).all() and (again == anew).all()


@torch.no_grad()
def test_what_is_kept_follows_the_prompt_the_size_and_the_weights(backbone: Backbone) -> None:
    plain = encode_plain(backbone, "a photo of person")
    t, noisy = torch.tensor(500), drawn(backbone)

    def predicted(embeds: Tensor) -> Tensor:
        return backbone.unet(noisy, t, encoder_hidden_states=embeds, **added(backbone, plain)).sample

    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        embeds = people.prompt("a photo of <v>")["prompt_embeds"].repeat(2, 1, 1)
        first = predicted(embeds)
        assert torch.equal(predicted(embeds), first)
        embeds[:, :-1] *= 1.5
        other = predicted(embeds)
        assert not torch.equal(other, first) and torch.equal(predicted(embeds.clone()), other)
        layer = backbone.layers[0].module
        before, layer.to_v.weight = layer.to_v.weight, nn.Parameter(2 * layer.to_v.weight, False)
        assert not torch.equal(predicted(embeds), other)
        layer.to_v.weight = before
        assert torch.equal(predicted(embeds), other)
    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        embeds = people.prompt("a photo of <v>", regions={"v": (0, 0, 0.5, 1)})["prompt_embeds"].repeat(2, 1, 1)
        small = predicted(embeds)
        wide, noisy = torch.cat([noisy, noisy], dim=-1), torch.cat([noisy, noisy], dim=-1)
        assert predicted(embeds).shape == wide.shape and small.shape != wide.shape


def test_a_prompt_is_encoded_once_until_the_encoder_changes(backbone: Backbone) -> None:
    calls: list[int] = []
    encoder = backbone.text_encoders[0]
    handle = encoder.register_forward_hook(lambda *_: calls.append(1))
    with use(backbone.pipeline, {"v": table(backbone, 5)}, {"v": "person"}) as people:
        first = people.prompt("a photo of <v>", "red")
        made = len(calls)
        again = people.prompt("a photo of <v>", "red")
        assert len(calls) == made and set(again) == set(first)
        assert all(torch.equal(again[name][..., :-1, :], first[name][..., :-1, :]) for name in first)
        people.prompt("a photo of <v>", "blue")
        people.prompt("a photo of <v>", "red", clip_skip=1)
        assert len(calls) == 3 * made
        with torch.no_grad():
            encoder.get_input_embeddings().weight.mul_(2)
        changed = people.prompt("a photo of <v>", "red")["prompt_embeds"]
        assert len(calls) == 4 * made and not torch.equal(changed[:, :-1], first["prompt_embeds"][:, :-1])
    handle.remove()
