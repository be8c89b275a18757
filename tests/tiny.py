"""Tiny random pipelines of each family, built in memory in a moment."""

import json
import tempfile
from functools import lru_cache
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from onephoto.backbone.load import Backbone, wrap_pipeline
from onephoto.backbone.method import Batch
from onephoto.learn.data import batch_drawer

LENGTH = 16
WORDS = "teddy bear old a photo of the face person man dog at beach with red hair and in forest , . 's".split()  # noqa: SIM905


@lru_cache(maxsize=1)
def tiny_tokenizer() -> CLIPTokenizer:
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    merges, known = [], set(vocabulary)
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = f"{parts[0]} {parts[1]}"
            if merge not in merges:
                merges.append(merge)
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in known:
                known.add(parts[0])
                vocabulary.append(parts[0])
    with tempfile.TemporaryDirectory() as folder:
        vocab, rules = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocab.write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}))
        rules.write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        return CLIPTokenizer(str(vocab), str(rules), model_max_length=LENGTH, pad_token="<|endoftext|>")


def _text_config(width: int, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=LENGTH, projection_dim=width,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
    )  # fmt: skip


def _unet(width: int, **extra: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=width, attention_head_dim=2, norm_num_groups=4, **extra,
    )  # fmt: skip


def tiny_pipeline(family: str = "sd1") -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction" if family == "sd2" else "epsilon",
    )  # fmt: skip
    if family == "sdxl":
        unet = _unet(
            48, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        )  # fmt: skip
        second = CLIPTextModelWithProjection(_text_config(32, tokenizer))
        pipe = StableDiffusionXLPipeline(
            _vae(), CLIPTextModel(_text_config(16, tokenizer)), second, tokenizer, tokenizer, unet, scheduler,
            add_watermarker=False,
        )  # fmt: skip
    else:
        text_encoder = CLIPTextModel(_text_config(32, tokenizer))
        pipe = StableDiffusionPipeline(
            _vae(), text_encoder, tokenizer, _unet(32), scheduler, None, None, requires_safety_checker=False
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_backbone(family: str = "sd1") -> Backbone:
    return wrap_pipeline(tiny_pipeline(family), f"tiny-{family}")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(backbone: Backbone, step: int = 0) -> Batch:
    latents = torch.randn(1, 4, backbone.latent_size, backbone.latent_size, generator=seeded(7))
    draw = batch_drawer(latents, batch_size=2, num_stages=2, num_timesteps=backbone.num_timesteps)
    return draw(step, seeded(8))
