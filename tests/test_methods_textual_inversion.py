from dataclasses import replace

import pytest
import torch
from tiny import tiny_backbone

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import encode_plain
from onephoto.errors import IdentityFileError, SettingError
from onephoto.learn.data import batch_drawer
from onephoto.methods import get_method, method_names
from onephoto.methods.recipe import learning_prompt
from onephoto.methods.textual_inversion import TextualInversion, TextualInversionSettings


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def drawn(backbone: Backbone) -> Batch:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, backbone.latent_size, backbone.latent_size, generator=generator)
    options = {"batch_size": 2, "num_stages": 2, "num_timesteps": backbone.num_timesteps}
    return batch_drawer(latents, **options)(0, generator)


def learner(backbone: Backbone, num_vectors: int = 1) -> TextualInversion:
    settings = TextualInversionSettings(num_vectors=num_vectors)
    return TextualInversion(backbone, subject="person", settings=settings)


def test_the_loss_at_the_start_is_that_of_the_class_prompt_by_the_formula(backbone: Backbone) -> None:
    """|| e - e_theta(sqrt(a) x + sqrt(1 - a) e, t, c("a photo of the face of person")) ||^2, as a mean."""
    batch = drawn(backbone)
    share = backbone.alphas_cumprod[batch.timesteps][:, None, None, None]
    noisy = share.sqrt() * batch.latents + (1 - share).sqrt() * batch.noise
    conditioning = encode_plain(backbone, "a photo of the face of person")
    prediction = backbone.predict(noisy, batch.timesteps, conditioning)
    expected = (batch.noise - prediction).square().mean()
    torch.testing.assert_close(learner(backbone).loss(batch)["loss"], expected)


def test_the_embedding_is_what_the_text_encoder_sees(backbone: Backbone) -> None:
    """Any other word's embedding in V*'s place gives the loss that the word itself would give."""
    method, batch, other = learner(backbone), drawn(backbone), "face"
    with torch.no_grad():
        for name, rows in backbone.class_vectors(other).items():
            method.vectors[name].copy_(rows)
    same = TextualInversion(backbone, subject=other, settings=TextualInversionSettings())
    torch.testing.assert_close(method.loss(batch)["loss"], same.loss(batch)["loss"])


def test_only_the_embedding_trains(backbone: Backbone) -> None:
    method = learner(backbone)
    method.loss(drawn(backbone))["loss"].backward()
    (embedding,) = method.parameters()
    assert embedding.shape[0] == 1 and embedding.grad is not None and bool(embedding.grad.any())


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_the_file_gives_the_table_back(backbone: Backbone, num_vectors: int) -> None:
    method = learner(backbone, num_vectors)
    tensors = method.tensors()
    table = get_method("textual-inversion").table(tensors, {})
    assert table.num_tokens == num_vectors and table.num_stages == 1
    assert torch.equal(table.vectors["text_encoder"], method.table().vectors["text_encoder"])
    with pytest.raises(IdentityFileError):
        get_method("textual-inversion").table({"tokens.text_encoder": torch.zeros(5, 2, 8)}, {})


def test_every_registered_method_keeps_the_interface(backbone: Backbone) -> None:
    for name in method_names():
        spec = get_method(name)
        names = {"names": ("old man", "red dog")} if "names" in spec.settings.__dataclass_fields__ else {}
        seen = {"photos": [None], "network": lambda photo: [1.0, 2.0]} if spec.sees_photos else {}
        settings = replace(spec.settings(), steps=1, **names)
        method = spec.build(backbone, subject="person", settings=settings, seed=1, **seen)
        assert method.name == spec.name == name
        state = method.state_dict()
        method.load_state_dict(state)
        assert spec.table(method.tensors(), {}).num_stages == method.table().num_stages
        with method.patched():
            assert {"loss", "denoising"} <= set(method.loss(drawn(backbone)))


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingError, match="sefi, textual-inversion"):
        get_method("dreambooth-9000")


def test_prompts_by_subject() -> None:
    settings = TextualInversionSettings()
    assert learning_prompt(settings, "person") == "a photo of the face of {}"
    assert learning_prompt(settings, "old man") == "a photo of the face of {}"
    assert learning_prompt(settings, "dog") == "a photo of a {}"
    assert learning_prompt(replace(settings, prompt="{} smiles"), "dog") == "{} smiles"
