"""Plain attention while learning: equal results, and nothing of it stays."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from tiny import drawn, tiny_backbone

from onephoto.api import Learning, LearnRequest
from onephoto.backbone.attention import PLAIN, attention_of, learning_attention, plain_attention
from onephoto.backbone.load import Backbone
from onephoto.methods.sefi import Sefi, SefiSettings


def state(backbone: Backbone) -> list[object]:
    return [*backbone.unet.attn_processors.values(), *(attention_of(encoder) for encoder in backbone.text_encoders)]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_losses_and_gradients_are_those_of_the_fused_kernel(family: str) -> None:
    backbone = tiny_backbone(family)
    method = Sefi(backbone, subject="person", settings=SefiSettings(attention_factors=(1, 2), num_stages=2, heads=4))
    torch.nn.init.normal_(method.modules["text_encoder"].to_change.weight, generator=torch.Generator().manual_seed(1))
    found = []
    for _ in range(2):
        losses = method.loss(drawn(backbone))
        gradients = torch.autograd.grad(losses["loss"], method.parameters())
        found.append([*losses.values(), *gradients])
        if len(found) == 1:
            context = plain_attention(backbone.unet, *backbone.text_encoders)
            context.__enter__()
    context.__exit__(None, None, None)
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-4, atol=1e-6)


def test_within_stock_attention_is_plain_and_afterwards_all_is_as_it_was_also_on_error() -> None:
    backbone = tiny_backbone("sd1")
    before = state(backbone)
    with pytest.raises(RuntimeError, match="on the way"), plain_attention(backbone.unet, *backbone.text_encoders):
        assert set(backbone.unet.attn_processors.values()) == {PLAIN}
        assert [attention_of(encoder) for encoder in backbone.text_encoders] == ["eager"]
        raise RuntimeError("on the way")
    after = state(backbone)
    assert all(new is old or new == old for new, old in zip(after, before, strict=True))


def test_processors_of_others_stay() -> None:
    class Own(AttnProcessor2_0):
        """A user's own."""

    backbone, own = tiny_backbone("sd1"), Own()
    backbone.unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor = own
    backbone.text_encoders[0].set_attn_implementation("eager")
    with plain_attention(backbone.unet, *backbone.text_encoders):
        processors = list(backbone.unet.attn_processors.values())
        assert processors.count(own) == 1 and processors.count(PLAIN) == len(processors) - 1
    assert attention_of(backbone.text_encoders[0]) == "eager"
    assert own in backbone.unet.attn_processors.values()


def test_a_cpu_learns_by_the_formula_in_bfloat16_and_by_the_fused_kernel_in_float32() -> None:
    backbone = tiny_backbone("sd1")
    for dtype, plain in ((torch.float32, False), (torch.bfloat16, True)):
        backbone.pipeline.to(dtype)
        with learning_attention(backbone):
            assert (PLAIN in backbone.unet.attn_processors.values()) is plain


def test_between_steps_and_after_learning_the_model_has_its_own_attention() -> None:
    backbone = tiny_backbone("sd1")
    backbone.pipeline.to(torch.bfloat16)
    before = state(backbone)
    request = LearnRequest(name="v", settings={"steps": 2, "heads": 4})
    for report in Learning(backbone, [Image.linear_gradient("L").convert("RGB")], request):
        assert report.losses["loss"] > 0
        assert state(backbone) == before
