"""The benchmark on models of full size, as far as it goes in seconds."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny import tiny_backbone
from transformers import CLIPTextModelWithProjection

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "full_size.py"


@pytest.fixture(scope="module")
def full_size() -> ModuleType:
    spec = importlib.util.spec_from_file_location("full_size", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["full_size"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", ["sd15", "sd21", "sdxl"])
def test_u_nets_have_the_public_numbers_of_weights(full_size: ModuleType, shape: str) -> None:
    config = full_size.CONFIGURATIONS[shape]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config.unet)
    assert full_size.count(unet) == config.unet_weights


def test_the_tokenizer_has_clips_numbers_and_knows_the_prompts_words(full_size: ModuleType) -> None:
    tokenizer = full_size.clip_tokenizer("!")
    assert len(tokenizer) == tokenizer.vocab_size == 49408
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token) == (49406, 49407, "!")
    assert len(tokenizer("a photo of the face of a person at the beach", add_special_tokens=False).input_ids) == 11
    assert len(tokenizer("zebra", add_special_tokens=False).input_ids) == 5


def test_a_model_filled_at_random_computes_numbers(full_size: ModuleType) -> None:
    shape = full_size.OPEN_CLIP_G | {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    }  # fmt: skip
    model = full_size.text_encoder(shape, CLIPTextModelWithProjection, torch.bfloat16)
    assert model.dtype == torch.bfloat16 and all(rows.device.type == "cpu" for rows in model.parameters())
    outputs = model(torch.arange(77)[None] % 50 + 49358)
    assert outputs.last_hidden_state.isfinite().all() and 0.5 < outputs.last_hidden_state.std() < 2


def test_learning_and_drawing_are_timed_and_their_memory_is_kept(
    full_size: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full_size, "full_size", lambda shape, dtype, device: tiny_backbone("sd1"))
    file, image = tmp_path / "memory.json", tmp_path / "image.png"
    full_size.main(full_size.Shape.SD15, 16, 1, full_size.Precision.FLOAT32, 1, "cpu", image, file)
    result = json.loads(file.read_text())
    assert (result["model"], result["size"], result["batch"]) == ("sd15", 16, 1) and image.exists()
    assert all(result[work]["seconds"] > 0 and result[work]["peak"] > 1e8 for work in ("build", "learn", "draw"))
    assert "all finite" in capsys.readouterr().out
