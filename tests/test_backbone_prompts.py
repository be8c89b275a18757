from dataclasses import replace

import pytest
import torch
from test_backbone_hooks import table
from tiny import LENGTH, tiny_backbone

from onephoto.backbone.load import Backbone, load_backbone, wrap_pipeline
from onephoto.backbone.prompts import PromptCutWarning, encode, encode_plain, names_in
from onephoto.errors import ModelError, PromptError

CLASSES = {"alice": "person", "bob": "man"}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("text", ["a photo of the face of person", "A dog, at the Beach.", "", "red  hair and 's"])
def test_plain_text_is_what_diffusers_encodes(text: str, family: str) -> None:
    backbone = tiny_backbone(family)
    stock = backbone.pipeline.encode_prompt(
        text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    own = encode_plain(backbone, text)
    assert torch.equal(own.contexts, stock[0])
    assert own.contexts.shape[1] == LENGTH
    if family == "sdxl":
        assert torch.equal(own.pooled, stock[2][0])


def test_names_stand_anywhere_in_any_case() -> None:
    assert names_in("<Alice>'s dog, <BOB>, and (<alice>)") == ("alice", "bob")
    assert names_in("a < b > c <|endoftext|>") == ()


def test_ten_tokens_make_ten_contexts_and_plain_text_one(backbone: Backbone) -> None:
    tables = {"alice": table(backbone, 5)}
    assert len(encode(backbone, "a photo of <Alice>'s face", tables, classes=CLASSES).contexts) == 10
    assert len(encode(backbone, "a photo of a face", tables, classes=CLASSES).contexts) == 1
    both = tables | {"bob": table(backbone, 5, 1)}
    assert len(encode(backbone, "<alice> and <bob>", both, classes=CLASSES).contexts) == 10


def test_words_know_their_columns(backbone: Backbone) -> None:
    tables = {"alice": table(backbone, 5)}
    words = encode(backbone, "a photo of <alice>, at the beach.", tables, classes=CLASSES).words
    assert [word.text for word in words] == ["a", "photo", "of", "<alice>", ",", "at", "the", "beach"]
    assert words[3].columns == (4,)


def test_the_class_words_own_vectors_give_the_class_prompt(backbone: Backbone) -> None:
    rows = backbone.class_vectors("person")["text_encoder"]
    single = table(backbone, 1)
    same = type(single)({"text_encoder": rows[None].expand(2, -1, -1)}, single.key, single.value)
    spliced = encode(backbone, "a photo of <alice>", {"alice": same}, classes=CLASSES).contexts
    assert torch.allclose(spliced[0], encode_plain(backbone, "a photo of person").contexts[0])


@torch.no_grad()
@pytest.mark.parametrize("clip_skip", [None, 1])
def test_a_bypass_changes_v_alone_and_the_words_place_alone(backbone: Backbone, clip_skip: int | None) -> None:
    tables = {"alice": table(backbone, 5), "bob": table(backbone, 5, 1)}
    bypass = {name: 0.2 * rows.roll(1, -1) / rows.norm() for name, rows in tables["alice"].vectors.items()}
    tables["alice"] = replace(tables["alice"], key=tables["alice"].value, bypass=bypass)
    tables["bob"] = replace(tables["bob"], key=tables["bob"].value)
    both = encode(backbone, "<bob> and <alice> in red", tables, classes=CLASSES, clip_skip=clip_skip)
    plain = tables | {"alice": replace(tables["alice"], bypass=None)}
    without = encode(backbone, "<bob> and <alice> in red", plain, classes=CLASSES, clip_skip=clip_skip)
    k, v = both.contexts[both.routing.key[:, 0]], both.contexts[both.routing.value[:, 0]]
    torch.testing.assert_close(k, without.contexts[without.routing.key[:, 0]])
    changed = (k - v).abs().sum(dim=-1) > 1e-4
    assert changed.any(dim=0).nonzero().flatten().tolist() == [3] and changed[:, 3].all()
    assert len(encode(backbone, "<bob> in red", tables, classes=CLASSES).contexts) == 5


def test_an_unknown_name_is_refused_with_those_known(backbone: Backbone) -> None:
    with pytest.raises(PromptError, match=r"<carol>.*<alice>"):
        encode(backbone, "<carol> at the beach", {"alice": table(backbone, 5)}, classes=CLASSES)


def test_words_that_do_not_fit_are_named(backbone: Backbone) -> None:
    with pytest.warns(PromptCutWarning, match=r"left out: forest dog-s$"):
        cut = encode_plain(backbone, " ".join(["dog"] * (LENGTH - 2)) + " forest dog-s").cut
    assert cut == ("forest", "dog-s")


@torch.no_grad()
def test_clip_skip_is_what_diffusers_does(backbone: Backbone) -> None:
    stock, _ = (
        backbone.pipeline.encode_prompt(
            "a dog", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False, clip_skip=1
        )
        if hasattr(backbone.text_encoders[0], "text_model")
        else (None, None)
    )
    own = encode(backbone, "a dog", {}, classes={}, clip_skip=1).contexts
    assert own.shape == encode_plain(backbone, "a dog").contexts.shape
    assert not torch.equal(own, encode_plain(backbone, "a dog").contexts)
    assert stock is None or torch.equal(own, stock)


def test_models_that_cannot_be_loaded_are_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not tensors")
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(b"\x80\x04")
    for model, words in (
        (tmp_path, "Flux"),
        (broken, "download it again"),
        (pickled, "convert"),
        ("/none/x", "no such"),
    ):
        with pytest.raises(ModelError, match=words) as refusal:
            load_backbone(model)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_saved_pipeline_loads_again_frozen(family: str, tmp_path) -> None:
    backbone = tiny_backbone(family)
    backbone.pipeline.save_pretrained(tmp_path)
    again = load_backbone(tmp_path)
    assert again.family == family == wrap_pipeline(again.pipeline).family
    assert not any(parameter.requires_grad for parameter in again.unet.parameters())
    assert (again.image_size, again.latent_size, again.max_length) == (16, 8, LENGTH)
