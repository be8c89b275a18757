"""Every Python block of the pages on other programs runs, on tiny pipelines in place of the users' own."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from adapters import control_net, pipeline, somebody
from PIL import Image
from safetensors.torch import save_file

import onephoto
from onephoto.backbone.load import load_backbone
from onephoto.evaluate import who

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("../README", "diffusers", "several-people", "controlnet", "comfyui", "automatic1111", "sdxl", "sharing")

DRAWING = (
    "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionControlNetPipeline", "StableDiffusionXLPipeline",
)  # fmt: skip


def in_two_steps(call: Any) -> Any:
    """A pipeline's call that takes two steps unless told otherwise."""
    return lambda self, *args, **options: call(self, *args, **({"num_inference_steps": 2} | options))


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)


def stand_in(kind: Any, family: str) -> Any:
    """from_pretrained of a pipeline class that gives a tiny one, which draws in two steps."""

    def from_pretrained(name: str, controlnet: Any = None) -> Any:
        pipe = pipeline(family)
        # Real pipelines of SDXL have two tokenizers.
        if family == "sdxl":
            pipe.tokenizer_2 = type(pipe.tokenizer).from_pretrained("tokenizer")
            pipe.tokenizer = type(pipe.tokenizer).from_pretrained("tokenizer")
        return pipe if controlnet is None else kind.from_pipe(pipe, controlnet=controlnet)

    return from_pretrained


@pytest.fixture
def a_users_folder(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sd1, sdxl = pipeline("sd1"), pipeline("sdxl")
    sd1.tokenizer.save_pretrained("tokenizer")
    onephoto.save_identity("alice.safetensors", somebody(sd1))
    onephoto.save_identity("bob.safetensors", somebody(sd1, 1, "bob"))
    onephoto.save_identity("alice-xl.safetensors", somebody(sdxl))
    if page == "controlnet":
        onephoto.save_identity("alice-mini.safetensors", somebody(load_backbone("mini").pipeline))
    save_file({"<cat-toy>": torch.randn(2, 32)}, "cat-toy.safetensors")
    for name in ("photo.png", "mask.png", "edges.png", "alice.jpg", "bob.jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(name)
    for name, family in (
        ("StableDiffusionPipeline", "sd1"), ("StableDiffusionControlNetPipeline", "sd1"),
        ("StableDiffusionXLPipeline", "sdxl"),
    ):  # fmt: skip
        kind = getattr(diffusers, name)
        monkeypatch.setattr(kind, "from_pretrained", stand_in(kind, family))
    monkeypatch.setattr(diffusers.ControlNetModel, "from_pretrained", lambda name: control_net(sd1))
    # Noise shows no face to compare with.
    monkeypatch.setattr(who, "photo_vector", lambda path: np.zeros(128) + len(str(path)))
    for name in DRAWING:
        kind = getattr(diffusers, name)
        monkeypatch.setattr(kind, "__call__", in_two_steps(kind.__call__))


@pytest.mark.usefixtures("a_users_folder")
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str) -> None:
    found = blocks(page)
    assert found, page
    # The README's program has a pipeline already.
    names: dict[str, Any] = {"pipe": pipeline("sd1")} if page == "../README" else {}
    for number, block in enumerate(found):
        # torchao is an extra of its own: diffusers greets it with lines of warnings in every command.
        if "torchao" in block and not find_spec("torchao"):
            continue
        exec(compile(block, f"{page}.md, block {number}", "exec"), names)
