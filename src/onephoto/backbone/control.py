"""The embedded model's ControlNet: the U-Net's own encoder, of which only what a map changes is trained and kept.

As in Control-LoRA (Stability AI 2023) the rest is taken from the U-Net, so that it costs a tenth of a whole ControlNet;
in memory it is one, and any diffusers pipeline takes it.
"""

from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onephoto.errors import ModelError

HINT_CHANNELS = (16, 32, 64, 64)
"""Layers that bring a map to the latent's size."""
KEPT = ("controlnet_cond_embedding", "controlnet_down_blocks", "controlnet_mid_block", "downsamplers", "norm")
"""Parts of the names of weights that are the ControlNet's own."""
WEIGHTS = "control.safetensors"


def build_control(unet: Any) -> ControlNetModel:
    """A ControlNet that begins as the U-Net's encoder and changes nothing yet; only its own weights ask for gradients.

    Float32, wherever the U-Net is.
    """
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)
    for name, parameter in control.named_parameters():
        parameter.requires_grad_(is_own(name))
    return control.to(unet.device)


def is_own(name: str) -> bool:
    """Whether a weight is the ControlNet's own, and not the U-Net's."""
    return any(part in name for part in KEPT)


def save_control(control: ControlNetModel, folder: Path) -> None:
    """Write the ControlNet's own weights as fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {name: value.half().contiguous().cpu() for name, value in control.state_dict().items() if is_own(name)}
    save_file(own, folder / WEIGHTS)


def control_folder() -> Path:
    """Where the ControlNet's weights lie in the package."""
    return Path(str(resources.files("onephoto") / "weights" / "control"))


def load_control(unet: Any, folder: Path | str | None = None) -> ControlNetModel:
    """The ControlNet for a U-Net, from the package unless a folder is given; frozen, of the U-Net's type and device.

    Raises ModelError where it is missing, damaged, or was made for another model.
    """
    folder = control_folder() if folder is None else Path(folder)
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"{folder}: no ControlNet here; make one with: onephoto base train control")
    control = build_control(unet)
    try:
        own = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ModelError(f"{folder}: the ControlNet cannot be read ({error}); make it again") from error
    if _shapes(own) != _shapes({name: value for name, value in control.state_dict().items() if is_own(name)}):
        raise ModelError(f"{folder}: this ControlNet was made for another model; use it with mini")
    control.load_state_dict({name: value.float() for name, value in own.items()}, strict=False)
    # diffusers' own way to change the type warns of weights to be kept in float32, though there are none.
    return nn.Module.to(control, unet.dtype).eval().requires_grad_(False)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
