import pytest
import torch
from tiny import drawn, seeded, tiny_backbone

from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode_plain
from onephoto.learn.fit import fit
from onephoto.methods.custom_diffusion import CustomDiffusion, CustomDiffusionSettings
from onephoto.methods.recipe import denoising


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def learner(backbone: Backbone, **settings: object) -> CustomDiffusion:
    chosen = CustomDiffusionSettings(**{"steps": 2, "class_steps": 1, **settings})
    return CustomDiffusion(backbone, subject="person", settings=chosen, seed=1)


def test_the_published_settings_are_the_defaults() -> None:
    settings = CustomDiffusionSettings()
    assert (settings.steps, settings.batch_size, settings.learning_rate) == (250, 4, 8e-5)
    assert (settings.prior_weight, settings.class_images) == (1.0, 200)


def test_exactly_v_and_the_keys_and_values_of_cross_attention_learn(backbone: Backbone) -> None:
    method, batch = learner(backbone), drawn(backbone)
    list(fit(method, lambda step, generator: batch, steps=2, learning_rate=0.01, generator=seeded()))
    own = [name for name, _ in backbone.unet.named_parameters()]
    expected = {name for name in own if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))}
    assert set(method.differences.trained) == expected
    assert {name.removeprefix("unet.") for name in method.tensors() if name.startswith("unet.")} == expected
    assert all(gain.any() for gain in method.differences.trained.values())
    assert set(method.trained()) - expected == {f"marks.{name}" for name in backbone.encoder_names}
    for name, rows in backbone.class_vectors("ktn").items():
        assert method.marks[name].shape == (1, rows.shape[1])
        assert not torch.equal(method.marks[name][0], rows.mean(dim=0))
        assert torch.equal(method.tensors()[f"tokens.{name}"][1:], backbone.class_vectors("person")[name])


def test_the_loss_is_the_sum_of_both_terms_and_v_is_what_the_text_encoder_sees(backbone: Backbone) -> None:
    """Any word's embedding in V*'s place gives the loss that the word itself would give."""
    method, batch = learner(backbone, prior_weight=0.5, initial_word="old"), drawn(backbone)
    losses = method.loss(batch)
    if backbone.family == "sd1":  # SDXL's pooled vector is the class word's
        own = denoising(backbone, batch, encode_plain(backbone, "a photo of the face of old person"))
        torch.testing.assert_close(losses["denoising"], own)
    assert method.prior is not None
    pictures = method.prior.batch(0, 2, backbone.num_timesteps)
    prior = denoising(backbone, pictures, encode_plain(backbone, "a photo of a person"))
    torch.testing.assert_close(losses["prior"], prior)
    torch.testing.assert_close(losses["loss"], losses["denoising"] + 0.5 * prior)
