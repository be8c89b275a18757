"""Try the ComfyUI nodes in ComfyUI itself: python scripts/comfyui_check.py PATH_TO_COMFYUI

Run it in a Python that has ComfyUI's requirements and onephoto; no network and no GPU are needed. It makes a random
checkpoint that ComfyUI takes for Stable Diffusion 1.5 (its widths, fewer levels) and a random person, puts the node
package into custom_nodes for as long as it runs, and draws two steps at 64 pixels through ComfyUI's own nodes.
"""

import asyncio
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NODES = "onephoto_check"
TEXT, PLAIN = "a photo of <alice> at the beach", "a photo of person at the beach"
SIDE, STEPS = 64, 2


say = partial(print, flush=True)


def main(place: Path) -> None:
    """Draw, and say what holds; an AssertionError says what does not."""
    if not (place / "comfy" / "sd.py").exists():
        raise SystemExit(f"{place}: ComfyUI is not there; give the folder that holds its main.py")
    sys.path[:0] = [str(place), str(ROOT / "tests"), str(ROOT / "benchmarks")]
    sys.argv = ["main.py", "--cpu"]
    with tempfile.TemporaryDirectory() as folder, _nodes_in(place):
        _check(Path(folder))
    say("all of it holds in ComfyUI", _version(place))


@contextmanager
def _nodes_in(place: Path) -> Iterator[None]:
    """Within, the node package is one of ComfyUI's own custom nodes."""
    copy = place / "custom_nodes" / NODES
    shutil.copytree(ROOT / "comfyui", copy, dirs_exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(copy)


def _check(folder: Path) -> None:
    import comfy.options

    comfy.options.enable_args_parsing()
    import folder_paths
    import nodes

    folder_paths.add_model_folder_path("embeddings", str(folder))
    _save_person(folder)
    asyncio.run(nodes.load_custom_node(str(Path(folder_paths.base_path) / "custom_nodes" / NODES)))
    kinds = nodes.NODE_CLASS_MAPPINGS
    assert "OnephotoPromptWithPerson" in kinds, "ComfyUI did not load the nodes"
    say("ComfyUI loads both nodes")
    model, clip, vae = _checkpoint(folder)
    files = kinds["OnephotoLoadIdentity"].INPUT_TYPES()["required"]["file"][0]
    assert "alice.safetensors" in files, files
    (person,) = kinds["OnephotoLoadIdentity"]().load("alice.safetensors")
    (plain,) = nodes.CLIPTextEncode().encode(clip, PLAIN)
    (negative,) = nodes.CLIPTextEncode().encode(clip, "blurry")
    before = _drawn(model, plain, negative)
    patched, positive = kinds["OnephotoPromptWithPerson"]().encode(model, clip, person, TEXT)
    with _watched(patched) as seen:
        alice = _drawn(patched, positive, negative)
    _check_stages(seen)
    assert alice.isfinite().all() and (alice - before).abs().max() > 1e-3, "the person changes nothing"
    say(f"the person's latents are up to {(alice - before).abs().max():.2f} off the class word's")
    assert (_drawn(patched, plain, negative) == before).all(), (
        "a plain prompt draws another picture on the patched model"
    )
    assert (_drawn(model, plain, negative) == before).all(), "the model is not what it was"
    say("plain prompts draw bit for bit what they drew, with the patch and without the node")
    _check_class_word(kinds, model, clip, person, plain, negative, before)
    (pixels,) = nodes.VAEDecode().decode(vae, {"samples": alice})
    assert pixels.shape == (1, SIDE, SIDE, 3), pixels.shape


def _check_stages(seen: list[tuple[Any, Any]]) -> None:
    """K and V have other sources, and those of the first step are not those of the last."""
    (first_key, first_value), (last_key, last_value) = seen[0], seen[-1]
    assert (first_key - first_value).abs().max() > 1e-3, "K and V are made of the same prompt"
    assert (first_key - last_key).abs().max() > 1e-3, "K is the same at all stages"
    assert (first_value - last_value).abs().max() > 1e-3, "V is the same at all stages"
    say(f"K and V differ, and by stage, in all of {len(seen)} calls of cross-attention")


def _check_class_word(
    kinds: dict[str, Any], model: Any, clip: Any, person: Any, plain: Any, negative: Any, before: Any
) -> None:
    """Somebody all of whose tokens are the class word's is drawn as the class word."""
    from dataclasses import replace

    vector = _class_vector(clip)
    nobody = replace(person, tensors={"tokens.text_encoder": vector.expand(5, 2, -1).contiguous()})
    patched, positive = kinds["OnephotoPromptWithPerson"]().encode(model, clip, nobody, TEXT)
    off = (_drawn(patched, positive, negative) - before).abs().max()
    assert off < 1e-3, f"the class word's own tokens draw something else, by {off}"
    say(f"tokens of the class word draw the class word, {off:.1e} off")


def _class_vector(clip: Any) -> Any:
    rows = clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight
    (pairs,) = clip.tokenize("person")["l"]
    return rows[pairs[1][0]].detach().float()


@contextmanager
def _watched(model: Any) -> Iterator[list[tuple[Any, Any]]]:
    """What makes K and V of the conditional half, in each call of the patch that comes last."""
    seen: list[tuple[Any, Any]] = []
    options = model.model_options["transformer_options"]
    patch = options["patches"]["attn2_patch"][0]

    def watching(query: Any, context: Any, value: Any, more: dict[str, Any]) -> tuple:
        made = patch(query, context, value, more)
        if made[1] is not context:
            seen.append((made[1][-1].clone(), made[2][-1].clone()))
        return made

    options["patches"]["attn2_patch"][0] = watching
    try:
        yield seen
    finally:
        options["patches"]["attn2_patch"][0] = patch


def _drawn(model: Any, positive: Any, negative: Any) -> Any:
    """Latents of two steps."""
    import nodes

    (empty,) = nodes.EmptyLatentImage().generate(SIDE, SIDE, 1)
    (made,) = nodes.KSampler().sample(model, 0, STEPS, 5.0, "euler", "normal", positive, negative, empty, 1.0)
    return made["samples"]


def _save_person(folder: Path) -> None:
    import torch

    from onephoto.identity.file import IdentityFile, save

    tokens = 0.02 * torch.randn(5, 2, 768, generator=torch.Generator().manual_seed(0))
    base = {"model_id": "random", "fingerprint": {}}
    save(
        folder / "alice.safetensors",
        IdentityFile("alice", "person", "sefi", {"tokens.text_encoder": tokens}, {"base": base}),
    )


def _checkpoint(folder: Path) -> tuple[Any, Any, Any]:
    """A random model as ComfyUI's own loader reads it from one file."""
    import comfy.sd
    import torch
    from checkpoints import original_layout
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from full_size import AUTOENCODER, CLIP_L, SCHEDULE, at_random, text_encoder
    from safetensors.torch import save_file
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    shape = {
        "block_out_channels": (320, 320), "layers_per_block": 1, "cross_attention_dim": 768, "attention_head_dim": 8,
        "down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    }  # fmt: skip
    pipe = StableDiffusionPipeline(
        at_random(lambda: AutoencoderKL(**AUTOENCODER), torch.float32),
        text_encoder(CLIP_L, CLIPTextModel, torch.float32), None,
        at_random(lambda: UNet2DConditionModel(**shape), torch.float32), DDIMScheduler(**SCHEDULE, clip_sample=False),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    state = {name: value.clone().contiguous() for name, value in original_layout(pipe).items()}
    save_file(state, folder / "random.safetensors")
    return comfy.sd.load_checkpoint_guess_config(str(folder / "random.safetensors"))[:3]


def _version(place: Path) -> str:
    spec = importlib.util.spec_from_file_location("comfyui_version", place / "comfyui_version.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.__version__


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).resolve())
