"""The benchmarks of speed, on a tiny model."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from tiny import tiny_backbone

from onephoto.backbone import load


def test_learning_is_measured_against_the_recipe_and_the_floor(benchmark, model: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    learning, file = benchmark("learning"), tmp_path / "out" / "learning.json"
    learning.main(str(model), None, 2, 2, "cpu", learning.Precision.FLOAT32, threads, False, 64, 2, 1, None, file)
    result = json.loads(file.read_text())
    rows = {row["who"]: row for row in result["rows"]}
    assert list(rows) == ["sefi", "textual-inversion", "diffusers' recipe"]
    assert rows["diffusers' recipe"]["ratio"] == 1 and rows["sefi"]["samples"] == 2 * rows["sefi"]["updates"]
    assert rows["sefi"]["ratio"] == pytest.approx(rows["diffusers' recipe"]["seconds"] / rows["sefi"]["seconds"])
    assert result["floor"] == pytest.approx(result["flops"] / result["rate"]) and result["clock"] == "cpu"
    assert [(row["who"], row["people"]) for row in result["crowd"]] == [("one by one", 2), ("together", 2)]


def test_drawing_is_measured_against_the_plain_pipeline(benchmark, model: Path, tmp_path: Path) -> None:
    generation, file = benchmark("generation"), tmp_path / "generation.json"
    generation.main(
        str(model), None, 2, [1, 2], 1, "cpu", generation.Precision.FLOAT32, torch.get_num_threads(), None, file
    )
    result = json.loads(file.read_text())
    found = [(row["who"], row["pictures"]) for row in result["rows"]]
    alone = [("plain pipeline", 1), ("onephoto.use", 1), ("with heat maps", 1)]
    assert found == [*alone, ("plain pipeline", 2), ("onephoto.use", 2)]
    assert result["rows"][0]["overhead"] == 0 and result["first_picture"]["wall"] > 0


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_recipe_learns_the_new_row_alone_and_leaves_the_model_as_it_was(benchmark, family: str) -> None:
    recipe_of = benchmark("diffusers_recipe").DiffusersRecipe
    backbone = tiny_backbone(family)
    before = [encoder.get_input_embeddings().weight.clone() for encoder in backbone.text_encoders]
    photo = Image.linear_gradient("L").convert("RGB")
    recipe = recipe_of(backbone, photo, batch_size=2, size=16, prompt="a photo of the face of {}", subject="person")
    start = [table.detach().clone() for table in recipe.tables]
    losses = [recipe.step() for _ in range(2)]
    assert all(loss > 0 for loss in losses)
    for table, first, own in zip(recipe.tables, start, before, strict=True):
        assert torch.equal(table[:-1], first[:-1]) and not torch.equal(table[-1], first[-1])
        assert torch.equal(table[:-1], own)
    after = [encoder.get_input_embeddings().weight for encoder in backbone.text_encoders]
    assert all(torch.equal(new, old) for new, old in zip(after, before, strict=True))
    assert not any(weight.requires_grad for weight in backbone.unet.parameters())


def test_what_is_compiled_holds_no_attention_which_is_hooked(benchmark) -> None:
    learning, backbone = benchmark("learning"), tiny_backbone("sd1")
    learning.compile_parts(backbone)
    models: tuple[UNet2DConditionModel, AutoencoderKL] = (backbone.unet, backbone.vae)
    compiled = [part for model in models for part in model.modules() if part._compiled_call_impl is not None]
    inner = {part for module in compiled for part in module.modules()}
    assert len(compiled) > 8 and not inner & {layer.module for layer in backbone.layers}
    assert backbone.unet not in inner


@pytest.mark.parametrize(
    ("feature", "share", "dtype"),
    [
        ("avx512_bf16", 0.5, torch.bfloat16), ("avx512_bf16", 0.9, torch.float32), ("avx512_bf16", 1.7, torch.float32),
        ("amx_bf16", 0.1, torch.bfloat16), ("avx512_f", 0.5, torch.float32),
    ],
)  # fmt: skip
def test_bfloat16_is_chosen_where_the_cpu_computes_in_it_faster(
    feature: str, share: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    monkeypatch.setattr(load, "bfloat16_share", lambda: share)
    assert load.fast_dtype("cpu") == dtype
    assert load.fast_dtype("mps") == torch.float32


def test_the_fastest_product_of_each_format_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beginnings and ends of bfloat16, float32, and both again: 2 and 5 seconds, then 3 and 4.
    clock = iter([0, 2, 2, 7, 7, 10, 10, 14])
    monkeypatch.setattr(load.time, "perf_counter", lambda: float(next(clock)))
    assert load.bfloat16_share(side=8, times=2) == 2 / 4


def test_pictures_of_compiled_code_are_compared(
    benchmark, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing compiled they are the same, and with other weights the command fails."""
    compiled = benchmark("compiled")
    monkeypatch.setattr(UNet2DConditionModel, "compile", lambda self: None)
    compiled.main(str(model), steps=2)
    assert "0.000 of 255 apart at most" in capsys.readouterr().out
    monkeypatch.setattr(UNet2DConditionModel, "compile", lambda self: torch.nn.init.normal_(self.conv_out.weight))
    with pytest.raises(SystemExit, match="not the same picture"):
        compiled.main(str(model), steps=2)


def test_what_of_a_portrait_is_right_in_pictures(benchmark) -> None:
    portraits = benchmark("portraits")
    assert next(iter(portraits.PORTRAITS)) == "P001" and len(portraits.PORTRAITS) == 10
    read = {"sex": "man", "hair_colour": "black", "hair_length": "bald", "beard": "no", "things": ("cup",)}
    assert portraits.right(portraits.PORTRAITS["P002"], read) == {
        "beard": True, "sex": False, "hair_colour": True, "hair_length": False, "bare": True,
    }  # fmt: skip
    photos = {name: portraits.photo_of(name, 128) for name in ("P001", "P002")}
    blank = Image.new("RGB", (128, 128))
    made = {"P001": [photos["P001"], photos["P002"]], "P002": [photos["P002"], blank]}
    row = portraits.row_of(made, photos, lambda images: [read | {"things": ("glasses",)}] * len(images))
    assert row == {
        "sex": 0, "hair_colour": 1, "hair_length": 0, "beard": 1, "bare": 0, "found": 3 / 4,
        "nearest": pytest.approx(2 / 3),
    }  # fmt: skip
