"""DreamBooth-LoRA (Hu 2021, Ruiz 2022): DreamBooth in which the U-Net's attention learns updates of low rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.errors import IdentityFileError, SettingError
from onephoto.methods.class_prior import PreservingMethod, PriorRecipe
from onephoto.methods.embedding import read_single_table
from onephoto.methods.recipe import WORD
from onephoto.methods.weights import PREFIX, change, fixed_marks

MAPS = (".to_q", ".to_k", ".to_v", ".to_out.0")
"""The linear maps of every self- and cross-attention, which the public script adapts."""
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, kw_only=True)
class DreamBoothLoraSettings(PriorRecipe):
    """The public script's settings: rank 4, 500 steps of one sample at 1e-4, and DreamBooth's class pictures.

    alpha scales the update by alpha / rank (None: by 1, as the script does); identifier is the rare word.
    """

    steps: int = 500
    batch_size: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    flip: bool = False
    identifier: str = "sks"
    rank: int = 4
    alpha: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise SettingError(f"rank is {self.rank}; it must be 1 or more")


class DreamBoothLora(PreservingMethod):
    """One person, learned as W' = W + (alpha / rank) B A for each map W of the U-Net's attention.

    A, (rank, inputs), begins at random with variance 1 / rank^2, B, (outputs, rank), at zero: learning begins at the
    base. The layers are peft's. The file names A and B as diffusers does in its own LoRA files, with alpha / rank
    multiplied into B: 3 MB for Stable Diffusion 1.x.
    """

    name = "dreambooth-lora"

    def __init__(self, backbone: Backbone, *, subject: str, settings: DreamBoothLoraSettings, seed: int = 0):
        """The seed decides A, and noise and timesteps of the class pictures."""
        marks = fixed_marks(backbone, settings.identifier)
        super().__init__(backbone, subject=subject, settings=settings, marks=marks, seed=seed)
        alpha = settings.rank if settings.alpha is None else settings.alpha
        self.scale = alpha / settings.rank
        self.layers = lora_layers(backbone.unet, settings.rank, alpha, torch.Generator().manual_seed(seed))

    def trained(self) -> dict[str, nn.Parameter]:
        """A and B of each map."""
        down = {f"{name}{DOWN}": layer.lora_A[WORD].weight for name, layer in self.layers.items()}
        return down | {f"{name}{UP}": layer.lora_B[WORD].weight for name, layer in self.layers.items()}

    def parts(self) -> Mapping[str, nn.Module]:
        """peft's layers in the places of the maps that they hold."""
        return self.layers

    def kept(self) -> dict[str, Tensor]:
        """A and scaled B: "unet.<map>.lora_A.weight" and "unet.<map>.lora_B.weight"."""
        return {
            f"{PREFIX}{name}": weight.detach().cpu() * (self.scale if name.endswith(UP) else 1)
            for name, weight in self.trained().items()
        }


def lora_layers(unet: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> dict[str, Any]:
    """peft's LoRA layers around the maps of a U-Net's attention, by the maps' names; the U-Net itself is left alone.

    Raises SettingError for a U-Net that carries adapters already: two around one map would share its names.
    """
    if getattr(unet, "peft_config", None):
        raise SettingError("the model carries adapters already; unload them, or fuse them, and learn then")
    maps = {name: module for name, module in unet.named_modules() if name.endswith(MAPS)}
    # peft puts its layers into whatever holds the maps: here a list of ours.
    held = nn.ModuleList(maps.values())
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=[str(number) for number in range(len(held))])  # type: ignore[arg-type]
    inject_adapter_in_model(config, held, adapter_name=WORD)
    layers: dict[str, Any] = dict(zip(maps, held, strict=True))
    for layer in layers.values():
        first = torch.randn(layer.lora_A[WORD].weight.shape, generator=generator) / rank
        layer.lora_A[WORD].weight.data = first.to(layer.lora_A[WORD].weight.device)
        layer.lora_B[WORD].float()
    return layers


def merged(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> dict[str, Tensor]:
    """What each map's weight gains, B A; raises IdentityFileError when a file holds no such pairs."""
    found = change(tensors, metadata)
    names = [name.removesuffix(DOWN) for name in found if name.endswith(DOWN)]
    if set(found) != {f"{name}{end}" for name in names for end in (DOWN, UP)}:
        raise IdentityFileError("the identity file holds no updates of low rank; learn it again with its method")
    return {f"{name}.weight": found[f"{name}{UP}"] @ found[f"{name}{DOWN}"] for name in names}


SPEC = MethodSpec(DreamBoothLora.name, DreamBoothLora, read_single_table, DreamBoothLoraSettings, merged)
