"""The embedded model in Stable Diffusion XL's format, grown out of mini as SDXL took over Stable Diffusion 1's encoder.

Mini's text encoder is its first one and mini's U-Net its trunk; keys and values, what takes in the pooled text and the
sizes, and a second text encoder are its own, so that it costs a tenth of the weights. In memory it is a whole model.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from onephoto.errors import ModelError

OWN = (".attn2.to_k.", ".attn2.to_v.", "add_embedding.")
"""Parts of the names of those weights of the U-Net that are not mini's."""
WEIGHTS = Path("unet", "own.safetensors")


def is_own(name: str) -> bool:
    """Whether a weight of the U-Net is its own, and not mini's."""
    return any(part in name for part in OWN)


def save_own(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the U-Net's configuration and its own weights as fp16."""
    unet.save_config(folder / "unet")
    own = {name: value.half().contiguous().cpu() for name, value in unet.state_dict().items() if is_own(name)}
    save_file(own, folder / WEIGHTS)


def own_weights(folder: Path) -> dict[str, Tensor]:
    """What `save_own` wrote, float32; raises ModelError for a damaged file."""
    try:
        return {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    except SafetensorError as error:
        raise ModelError(
            f"{folder / WEIGHTS}: not a whole safetensors file ({error}); install onephoto again"
        ) from error


def parts_of(folder: Path, mini: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The parts of a pipeline that its folder lacks, by diffusers' names: the U-Net with mini's trunk, and mini's own.

    Raises ModelError where mini is not there.
    """
    if not (mini / "model_index.json").exists():
        raise ModelError(
            f"{folder.name} needs the weights of mini, which are not there; make them: onephoto base train"
        )
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
    trunk = load_file(mini / "unet" / "diffusion_pytorch_model.safetensors")
    kept = {name: value for name, value in trunk.items() if not is_own(name)}
    unet.load_state_dict(kept | own_weights(folder))
    words = CLIPTokenizer.from_pretrained(mini / "tokenizer")
    return {
        # diffusers' own way to change the type warns of weights to be kept in float32, though there are none.
        "unet": nn.Module.to(unet, dtype).eval(),
        "vae": AutoencoderKL.from_pretrained(mini / "vae", torch_dtype=dtype),
        "text_encoder": CLIPTextModel.from_pretrained(mini / "text_encoder", dtype=dtype),
        "tokenizer": words,
        "tokenizer_2": words,
        "scheduler": EulerAncestralDiscreteScheduler.from_pretrained(mini / "scheduler"),
    }
