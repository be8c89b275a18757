import pytest
import torch
from tiny import tiny_backbone

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import encode_plain
from onephoto.core.denoising import add_noise
from onephoto.methods.xti import Xti, XtiSettings

WORDS = ("old", "dog", "face", "hair", "beach", "red", "man")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


def batch(backbone: Backbone) -> Batch:
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    return Batch(latents, noise, torch.tensor([100, 800]))


def test_the_nth_layer_sees_the_prompt_with_the_nth_token(backbone: Backbone) -> None:
    """Layer n is fed by hand with the plain prompt whose word has the n-th embedding, for K and V."""
    method, drawn = Xti(backbone, subject="person", settings=XtiSettings()), batch(backbone)
    words = [WORDS[number % len(WORDS)] for number in range(len(backbone.layers))]
    with torch.no_grad():
        for row, word in zip(method.vectors["text_encoder"], words, strict=True):
            row.copy_(backbone.class_vectors(word)["text_encoder"][0])
    contexts = [encode_plain(backbone, method.prompt.format(word)).contexts.expand(2, -1, -1) for word in words]
    handles = [
        linear.register_forward_pre_hook(lambda module, args, context=context: (context,))
        for layer, context in zip(backbone.layers, contexts, strict=True)
        for linear in (layer.module.to_k, layer.module.to_v)
    ]
    noisy = add_noise(drawn.latents, drawn.noise, backbone.alphas_cumprod, drawn.timesteps)
    expected = (backbone.unet(noisy, drawn.timesteps, contexts[0]).sample - drawn.noise).square().mean()
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(method.loss(drawn)["loss"], expected)


def test_it_begins_at_the_class_word_and_every_token_learns(backbone: Backbone) -> None:
    method = Xti(backbone, subject="person", settings=XtiSettings())
    (tokens,) = method.parameters()
    word = backbone.class_vectors("person")["text_encoder"]
    assert torch.equal(tokens.detach(), word.expand(len(backbone.layers), -1))
    method.loss(batch(backbone))["loss"].backward()
    assert tokens.grad is not None and bool(tokens.grad.abs().sum(dim=1).gt(0).all())
