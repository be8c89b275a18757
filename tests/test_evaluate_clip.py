import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import LENGTH, tiny_backbone, tiny_tokenizer
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from onephoto import comparison
from onephoto.cli.compare import words_of
from onephoto.errors import ModelError, SettingError
from onephoto.evaluate.clip_judge import clip_pixels, load_clip_judge
from onephoto.evaluate.plan import BASE
from onephoto.generate.draw import DrawSettings


def tiny_model() -> CLIPModel:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=LENGTH, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, projection_dim=8,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=8,
    )  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    tiny_model().save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)) for _ in range(count)]


TEXTS = ["a photo of a dog", "a person at the beach", "a man with red hair"]


def test_similarity_is_the_cosine_of_both_towers(folder: Path) -> None:
    judge, images = load_clip_judge(str(folder)), pictures(3)
    similarity = judge.prompt_similarity(images, TEXTS)
    assert np.allclose(similarity, np.diag(judge.image_vectors(images) @ judge.text_vectors(TEXTS).T), atol=1e-5)
    assert np.allclose(np.linalg.norm(judge.image_vectors(images), axis=1), 1, atol=1e-5)
    assert clip_pixels(Image.new("RGB", (60, 40), "white"), 32).shape == (3, 32, 32)


def test_both_towers_are_the_saved_models(folder: Path) -> None:
    judge, model = load_clip_judge(str(folder)), tiny_model()
    pixels = torch.stack([clip_pixels(image, 32) for image in pictures(3)])
    ids = judge.tokenizer(TEXTS, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(pixel_values=pixels, **{name: ids[name] for name in ("input_ids", "attention_mask")})
    assert np.allclose(judge.image_vectors(pictures(3)), expected.image_embeds.numpy(), atol=1e-5)
    assert np.allclose(judge.text_vectors(TEXTS), expected.text_embeds.numpy(), atol=1e-5)


def test_the_threshold_parts_own_texts_from_those_of_others(folder: Path) -> None:
    judge, images = load_clip_judge(str(folder)), pictures(3)
    with pytest.raises(ModelError, match="threshold"):
        judge.prompt_passes(images, TEXTS)
    with pytest.raises(SettingError, match="two different"):
        judge.calibrated(images, TEXTS[:1] * 3)
    known = judge.calibrated(images, TEXTS)
    similarity = known.image_vectors(images) @ known.text_vectors(TEXTS).T
    own, others = np.diag(similarity), similarity[~np.eye(3, dtype=bool)]
    assert known.threshold is not None and known.name != judge.name
    right = (own > known.threshold).mean() + (others <= known.threshold).mean()
    assert right >= max((own > t).mean() + (others <= t).mean() for t in (-1.0, 1.0))


def test_what_is_no_whole_clip_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="give --judge"):
        load_clip_judge(str(tmp_path))
    tiny_model().save_pretrained(tmp_path / "wordless")
    with pytest.raises(ModelError, match="give --judge"):
        load_clip_judge(str(tmp_path / "wordless"))
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    weights = {name: rows for name, rows in load_file(half / "model.safetensors").items() if "vision" in name}
    save_file(weights, half / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="missing"):
        load_clip_judge(str(half))


def test_words_follow_the_model() -> None:
    assert [words_of(name) for name in ("mini", "mini-xl", "work/sd15", "owner/model")] == [
        "world", "world", "real", "real",
    ]  # fmt: skip


def test_the_base_draws_once_for_the_threshold_and_for_the_table(tmp_path: Path) -> None:
    backbone = tiny_backbone("sd1")
    plan = comparison.compare_plan(
        backbone, (), settings=DrawSettings(steps=1), people=(90_000, 90_001), sets=("scene",), prompts_each=1,
        words="real", attention_people=0,
    )  # fmt: skip
    images, texts = comparison.base_pictures(backbone, plan, tmp_path)
    assert texts == ["a photo of a person at the beach"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "pictures").rglob("*.png")}
    assert len(images) == len(before) == 1 and all(path.parent.name == BASE for path in before)
    comparison.base_pictures(backbone, plan, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
