"""Checkpoints in one file, in the original layout of each family, without any network."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from checkpoints import original_layout
from diffusers.loaders import single_file
from safetensors.torch import save_file
from tiny import tiny_pipeline

import onephoto
from onephoto.api import LearnRequest
from onephoto.backbone.load import HUB_CONFIGURATIONS, Backbone, embedded_model, load_backbone
from onephoto.errors import ModelError

FAMILIES = ("sd1", "sd2", "sdxl")
CALL = {"num_inference_steps": 2, "output_type": "np"}


@pytest.fixture(autouse=True)
def nothing_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(name: str, **options: Any) -> str:
        raise AssertionError(f"the hub was asked for {name}")

    for module in (single_file, huggingface_hub):
        monkeypatch.setattr(module, "snapshot_download", asked)


def configured(pipe: Any, folder: Path) -> Path:
    """A diffusers folder without weights."""
    pipe.save_pretrained(folder)
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


def checkpoint(pipe: Any, path: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A pipeline's weights in one file; none shares memory with another."""
    state = {name: value.to(dtype).clone().contiguous() for name, value in original_layout(pipe).items()}
    save_file(state, path)
    return path


def drawn(pipe: Any) -> np.ndarray:
    return pipe("a photo of a dog", generator=torch.Generator().manual_seed(0), **CALL).images


def same_weights(loaded: Any, pipe: Any) -> bool:
    kept = loaded.state_dict()
    return all(torch.equal(kept[name], value) for name, value in pipe.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_it_draws_and_learns_what_the_folder_does(family: str, tmp_path: Path) -> None:
    pipe = tiny_pipeline(family)
    path = checkpoint(pipe, tmp_path / "model.safetensors")
    configured(pipe, tmp_path / "model")
    loaded = load_backbone(path, offline=True)
    assert loaded.family == family and loaded.prediction_type == pipe.scheduler.config.prediction_type
    for name in ("unet", "vae", *loaded.encoder_names):
        assert same_weights(getattr(loaded.pipeline, name), getattr(pipe, name))
    assert np.array_equal(drawn(loaded.pipeline), drawn(pipe))
    request = LearnRequest(name="alice", settings={"steps": 2, "heads": 4})
    photo = loaded.pipeline.image_processor.numpy_to_pil(drawn(pipe))[0]
    one, other = (onephoto.learn(model, [photo], request).tensors for model in (loaded, pipe))
    # Not to the bit on every processor: where weights lie in memory decides which kernel multiplies them.
    for name in other:
        torch.testing.assert_close(one[name], other[name])
    assert onephoto.generate(loaded, "<alice> in a forest", [onephoto.learn(loaded, [photo], request)])


def test_the_embedded_model_as_one_file_is_the_same_model(tmp_path: Path) -> None:
    mini = load_backbone("mini")
    path = checkpoint(mini.pipeline, tmp_path / "mini.safetensors")
    shutil.copytree(embedded_model(), tmp_path / "mini", ignore=shutil.ignore_patterns("*.safetensors"))
    loaded = load_backbone(path, offline=True)
    assert all(same_weights(getattr(loaded, part), getattr(mini, part)) for part in ("unet", "vae"))
    assert same_weights(loaded.text_encoders[0], mini.text_encoders[0])
    assert np.array_equal(drawn(loaded.pipeline), drawn(mini.pipeline))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_number_format_is_the_one_asked_for(family: str, tmp_path: Path) -> None:
    pipe = tiny_pipeline(family)
    path = checkpoint(pipe, tmp_path / "model.safetensors", torch.float16)
    configured(pipe, tmp_path / "model")
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_backbone(path, dtype=dtype)
        parts = (loaded.unet, loaded.vae, *loaded.text_encoders)
        assert {value.dtype for part in parts for value in part.parameters()} == {dtype}


@pytest.mark.parametrize("family", FAMILIES)
def test_offline_the_configuration_comes_from_the_hubs_cache(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tiny_pipeline(family)
    path = checkpoint(pipe, tmp_path / "model.safetensors")
    cache = {HUB_CONFIGURATIONS[family]: configured(pipe, tmp_path / "cached")}

    def cached(name: str, *, local_files_only: bool = False, **options: Any) -> str:
        assert local_files_only
        return str(cache[name])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    assert np.array_equal(drawn(load_backbone(path, offline=True).pipeline), drawn(pipe))


def test_the_hubs_names_are_those_that_diffusers_has() -> None:
    known = {place["pretrained_model_name_or_path"] for place in single_file_paths().values()}
    assert set(HUB_CONFIGURATIONS.values()) <= known


def single_file_paths() -> dict[str, dict[str, str]]:
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS

    return DIFFUSERS_DEFAULT_PIPELINE_PATHS


def line(path: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as stop:
        load_backbone(path, **options)
    assert "\n" not in str(stop.value)
    return str(stop.value)


def test_what_is_missing_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    path = checkpoint(pipe, tmp_path / "model.safetensors")

    def nowhere(name: str, **options: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache\nand more")

    for module in (single_file, huggingface_hub):
        monkeypatch.setattr(module, "snapshot_download", nowhere)
    for offline in (True, False):
        assert "the folder model beside it" in line(path, offline=offline)
    (tmp_path / "model").mkdir()
    assert "the folder model beside it" in line(path, offline=True)
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert "Flux is a transformer" in line(path)
    (tmp_path / "model.ckpt").write_bytes(b"pickled")
    assert "only .safetensors" in line(tmp_path / "model.ckpt")
    (tmp_path / "cut.safetensors").write_bytes(b"cut off")
    assert "not a whole safetensors file" in line(tmp_path / "cut.safetensors")


def test_a_backbone_of_one_file_is_named_after_it(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    configured(pipe, tmp_path / "model")
    loaded = load_backbone(checkpoint(pipe, tmp_path / "model.safetensors"))
    assert isinstance(loaded, Backbone) and loaded.model_id.endswith("model.safetensors")
