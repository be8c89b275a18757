"""Shapes of the embedded model: a small Stable-Diffusion-format pipeline that plain diffusers loads."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


@dataclass(frozen=True)
class Architecture:
    """Sizes of the embedded model; every width that other code needs is read from the built modules, not from here.

    The autoencoder's full-resolution layers carry few channels, since on a CPU they are most of its cost. Sixteen
    latent channels instead of Stable Diffusion's four: a face covers 5 x 5 to 10 x 10 latent positions, too few for its
    identity (dlib's AUC through the autoencoder after equal training: .80 with eight, .84 with sixteen).
    """

    image_size: int = 128
    latent_channels: int = 16
    vae_channels: tuple[int, ...] = (16, 32, 64, 128)
    unet_channels: tuple[int, ...] = (96, 128, 160)
    unet_layers: int = 1
    head_width: int = 32
    text_width: int = 192
    text_layers: int = 4
    text_heads: int = 6
    max_length: int = 48

    @property
    def pixels_per_latent(self) -> int:
        """Pixels on a latent position's side."""
        return 2 ** (len(self.vae_channels) - 1)

    @property
    def latent_size(self) -> int:
        """Side of the latent picture."""
        return self.image_size // self.pixels_per_latent


@dataclass(frozen=True)
class XlArchitecture(Architecture):
    """Sizes of the embedded model in Stable Diffusion XL's format, which is grown out of the other: what that has keeps
    its sizes, and 1.6 million weights are its own. `size_width` numbers tell each of the six sizes and corners.
    """

    second_width: int = 80
    second_layers: int = 3
    second_heads: int = 5
    size_width: int = 16


def build_vae(arch: Architecture) -> AutoencoderKL:
    """Autoencoder without attention in its middle, so that it trains on crops and runs on whole pictures alike."""
    levels = len(arch.vae_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=arch.vae_channels,
        layers_per_block=1,
        latent_channels=arch.latent_channels,
        norm_num_groups=8,
        sample_size=arch.image_size,
        mid_block_add_attention=False,
    )


def build_unet(arch: Architecture) -> UNet2DConditionModel:
    """U-Net with cross-attention at every level (latent sides 16, 8 and 4 at 128 px)."""
    return _build_unet(arch, context_width=arch.text_width)


def build_xl_unet(arch: XlArchitecture) -> UNet2DConditionModel:
    """The same, but told the second encoder's pooled text, and sizes, beside both encoders' tokens."""
    return _build_unet(
        arch,
        context_width=arch.text_width + arch.second_width,
        addition_embed_type="text_time",
        addition_time_embed_dim=arch.size_width,
        projection_class_embeddings_input_dim=arch.second_width + 6 * arch.size_width,
    )


def _build_unet(arch: Architecture, *, context_width: int, **added: Any) -> UNet2DConditionModel:
    levels = len(arch.unet_channels)
    unet = UNet2DConditionModel(
        sample_size=arch.latent_size,
        in_channels=arch.latent_channels,
        out_channels=arch.latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=arch.unet_channels,
        layers_per_block=arch.unet_layers,
        cross_attention_dim=context_width,
        attention_head_dim=tuple(width // arch.head_width for width in arch.unet_channels),
        norm_num_groups=math.gcd(32, *arch.unet_channels),
        **added,
    )
    silence_branches(unet)
    return unet


def silence_branches(unet: UNet2DConditionModel) -> None:
    """Let every residual branch, and the prediction, begin at zero, as the ADM U-Net does (Dhariwal 2021)."""
    ends = [module.conv2 for module in unet.modules() if isinstance(module, ResnetBlock2D)]
    ends += [module.proj_out for module in unet.modules() if isinstance(module, Transformer2DModel)]
    for end in (*ends, unet.conv_out):
        torch.nn.init.zeros_(end.weight)
        torch.nn.init.zeros_(end.bias)


def build_text_encoder(arch: Architecture, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP text transformer over the project's own vocabulary."""
    shape = (arch.text_width, arch.text_layers, arch.text_heads)
    return CLIPTextModel(_text_config(shape, arch.max_length, tokenizer))


def build_second_encoder(arch: XlArchitecture, tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """The second text encoder of Stable Diffusion XL's format, over the same vocabulary."""
    shape = (arch.second_width, arch.second_layers, arch.second_heads)
    return CLIPTextModelWithProjection(_text_config(shape, arch.max_length, tokenizer))


def _text_config(shape: tuple[int, int, int], max_length: int, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Configuration of a text encoder of some width, layers and heads."""
    width, layers, heads = shape
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_length,
        projection_dim=width,
        hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule: 1000 steps, scaled-linear, epsilon prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def build_sampler() -> EulerAncestralDiscreteScheduler:
    """The same schedule as the model is drawn with: fresh noise in every step mends what went wrong in the one before.

    Against DDIM faces of people with names come nearer to their renders (docs/LOG.md).
    """
    return EulerAncestralDiscreteScheduler.from_config(build_scheduler().config)


def count_parameters(module: torch.nn.Module) -> int:
    """Number of weights of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
