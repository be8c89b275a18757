"""What predicts noise in each format: a U-Net and whatever makes its conditions from the tokens of a caption."""

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from onephoto.base.architecture import (
    Architecture,
    XlArchitecture,
    build_sampler,
    build_second_encoder,
    build_text_encoder,
    build_unet,
    build_xl_unet,
)
from onephoto.base.shipped import take_shipped, take_shipped_text


class Painter(nn.Module):
    """A U-Net with its text encoders, one module; a format says how its conditions are made, and its pipeline."""

    encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    unet: Any

    def forward(self, noisy: Tensor, t: Tensor, *conditions: Tensor) -> Tensor:
        """Predicted noise: (B, c, h, w), (B,), and what `conditions` takes, token ids (B, L) first -> (B, c, h, w)."""
        return self.unet(noisy, t, **self.conditions(noisy, t, *conditions)).sample

    def conditions(self, noisy: Tensor, t: Tensor, ids: Tensor, *hints: Tensor) -> dict[str, Any]:
        """The U-Net's arguments beside latents and timesteps."""
        raise NotImplementedError

    def text_encoders(self) -> list[CLIPTextModel]:
        """All that read the caption."""
        return [getattr(self, part) for part in self.encoders]

    def pipeline(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> Any:
        """Itself as a diffusers pipeline."""
        raise NotImplementedError

    def take_shipped(self, tokenizer: CLIPTokenizer, folder: Path) -> None:
        """Begin with the weights of a pipeline folder where they are of the same shapes."""
        if take_shipped(self.unet, "unet", folder=folder):
            for part in self.encoders:
                take_shipped_text(getattr(self, part), tokenizer, part=part, folder=folder)


class SdPainter(Painter):
    """Stable Diffusion's format: the last hidden states of one text encoder."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def conditions(self, noisy: Tensor, t: Tensor, ids: Tensor, *hints: Tensor) -> dict[str, Any]:
        """The U-Net's arguments beside latents and timesteps."""
        return {"encoder_hidden_states": self.text_encoder(ids).last_hidden_state}

    def pipeline(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
        """Itself as a diffusers pipeline."""
        return StableDiffusionPipeline(
            vae, self.text_encoder, tokenizer, self.unet, build_sampler(), None, None, requires_safety_checker=False
        )


class XlPainter(Painter):
    """Stable Diffusion XL's format: the last but one hidden states of two encoders, the second's pooled text, and sizes
    in pixels, of which all that this model has seen are whole pictures.

    A hint (B,), if there is one, says for which samples the first encoder's states are told; else they are zeros.
    """

    encoders: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")

    def __init__(
        self, text_encoder: CLIPTextModel, text_encoder_2: CLIPTextModelWithProjection, unet: UNet2DConditionModel, *,
        pixels_per_latent: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.text_encoder, self.text_encoder_2, self.unet = text_encoder, text_encoder_2, unet
        self.pixels_per_latent = pixels_per_latent

    def conditions(self, noisy: Tensor, t: Tensor, ids: Tensor, *hints: Tensor) -> dict[str, Any]:
        """The U-Net's arguments beside latents and timesteps."""
        first = self.text_encoder(ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(ids, output_hidden_states=True)
        for told in hints:
            first = first * told[:, None, None]
        words = torch.cat([first, second.hidden_states[-2]], dim=-1)
        height, width = (side * self.pixels_per_latent for side in noisy.shape[-2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], device=noisy.device, dtype=torch.float32)
        added = {"text_embeds": second.text_embeds, "time_ids": sizes.expand(len(noisy), -1)}
        return {"encoder_hidden_states": words, "added_cond_kwargs": added}

    def pipeline(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionXLPipeline:
        """Itself as a diffusers pipeline, to which no prompt is the empty prompt, as in training."""
        return StableDiffusionXLPipeline(
            vae, self.text_encoder, self.text_encoder_2, tokenizer, tokenizer, self.unet, build_sampler(),
            force_zeros_for_empty_prompt=False, add_watermarker=False,
        )  # fmt: skip


def build_painter(arch: Architecture, tokenizer: CLIPTokenizer) -> Painter:
    """A painter that has learned nothing, in the architecture's format."""
    text_encoder = build_text_encoder(arch, tokenizer)
    if not isinstance(arch, XlArchitecture):
        return SdPainter(text_encoder, build_unet(arch))
    second, unet = build_second_encoder(arch, tokenizer), build_xl_unet(arch)
    return XlPainter(text_encoder, second, unet, pixels_per_latent=arch.pixels_per_latent)


def load_painter(folder: Path) -> SdPainter:
    """The painter of a folder in Stable Diffusion's format, float32."""
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    return SdPainter(encoder, UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32))


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """A diffusers pipeline, float16 from then on, as a folder which plain diffusers loads."""
    # Where parts were loaded from means nothing elsewhere.
    for part in (pipeline.vae, pipeline.unet):
        part.register_to_config(_name_or_path="")
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            # Not by diffusers' own way to change the type, which warns without cause.
            nn.Module.to(part, torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    # transformers takes the stored type for the type to load in, diffusers loads float32: make all float32.
    for config in folder.glob("text_encoder*/config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
