from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from onephoto.backbone.load import load_backbone, wrap_pipeline
from onephoto.errors import ModelError


def line(model: Path | str) -> str:
    with pytest.raises(ModelError) as stop:
        load_backbone(model)
    assert "\n" not in str(stop.value)
    return str(stop.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("FluxPipeline", "Flux is a transformer"), ("StableDiffusion3Pipeline", "Stable Diffusion 3 is a transformer"),
        ("QwenImagePipeline", "Qwen-Image is a transformer"), ("PixArtSigmaPipeline", "PixArt is a transformer"),
        ("ZImagePipeline", "Z-Image is a transformer"),
        ("KandinskyV22Pipeline", "Kandinsky models are not supported"), ("IFPipeline", "DeepFloyd IF models"),
    ],
)  # fmt: skip
def test_other_families_are_refused_by_name_before_their_weights_are_read(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_index.json").write_text(f'{{"_class_name": "{kind}"}}')
    planned = "are planned" if "is a transformer" in line(tmp_path) else "none is planned"
    assert words in line(tmp_path) and planned in line(tmp_path)
    monkeypatch.setattr(DiffusionPipeline, "load_config", lambda model, **options: {"_class_name": kind})
    assert line("org/name").startswith("org/name: ") and words in line("org/name")
    with pytest.raises(ModelError, match=words):
        wrap_pipeline(type(kind, (), {})())


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", "Stable Diffusion 3"),
    ],
)
def test_a_checkpoint_of_a_transformer_is_refused_by_name(key: str, name: str, tmp_path: Path) -> None:
    save_file({key: torch.zeros(1)}, tmp_path / "model.safetensors")
    assert f"{name} is a transformer" in line(tmp_path / "model.safetensors")


class GatedRepoError(OSError):
    """Named like the hub's own, whose class is told by its name."""


class RepositoryNotFoundError(OSError):
    """The same."""


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (GatedRepoError("Cannot access"), "accept the terms"),
        (RepositoryNotFoundError("404"), "there is no such model"),
        (ConnectionError("no route"), "give a folder or go online"),
    ],
)
def test_the_hubs_errors_are_one_line_each(cause: Exception, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: str, **options: object) -> None:
        raise OSError("is not a local folder\nIf this is private, pass a token") from cause

    monkeypatch.setattr(DiffusionPipeline, "load_config", fail)
    assert words in line("org/name")
