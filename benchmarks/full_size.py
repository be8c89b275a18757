"""Learn and draw on pipelines of true size: shapes of Stable Diffusion 1.5, 2.1 and SDXL, weights at random.

    python benchmarks/full_size.py sd15
    python benchmarks/full_size.py sd21
    python benchmarks/full_size.py sdxl --dtype bfloat16
    python benchmarks/full_size.py sdxl --size 1024 --batch 1 --dtype bfloat16 --device cuda --json sdxl-memory.json

It shows that code, memory and number formats hold at full size; its pictures show nothing. On a GPU the peak is of what
torch holds there, on a CPU of the process so far. The portrait to learn from is the demo's. Shapes are those of the
models' public configuration files.
"""

import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from onephoto import api
from onephoto.backbone.load import Backbone, wrap_pipeline
from onephoto.base.tokenizer import END, START, vocabulary_and_merges
from onephoto.cli.demo import portrait
from onephoto.errors import OnephotoError
from onephoto.generate.draw import DrawSettings
from onephoto.identity.photo import read_photo

VOCABULARY = 49408
WORDS = "a photo of the face person at beach".split()  # noqa: SIM905
PROMPT = "a photo of <alice> at the beach"

U_NET_1 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
U_NET_2 = {
    "sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}  # fmt: skip
U_NET_XL = {
    "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "use_linear_projection": True,
    "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
CLIP_L = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "hidden_act": "quick_gelu", "projection_dim": 768,
}  # fmt: skip
OPEN_CLIP_H = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16,
    "hidden_act": "gelu", "projection_dim": 512,
}  # fmt: skip
OPEN_CLIP_G = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "hidden_act": "gelu", "projection_dim": 1280,
}  # fmt: skip
AUTOENCODER = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
}  # fmt: skip
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


class Shape(StrEnum):
    """Models whose shapes are known here."""

    SD15 = "sd15"
    SD21 = "sd21"
    SDXL = "sdxl"


class Precision(StrEnum):
    """Number formats."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class Configuration:
    """A model's shapes: its U-Net, text encoders, what differs in its autoencoder and schedule, its U-Net's weights."""

    unet: dict[str, Any]
    text_encoders: tuple[dict[str, Any], ...]
    unet_weights: int
    autoencoder: dict[str, Any] = field(default_factory=lambda: {"sample_size": 512, "scaling_factor": 0.18215})
    prediction_type: str = "epsilon"


CONFIGURATIONS = {
    Shape.SD15: Configuration(U_NET_1, (CLIP_L,), 859_520_964),
    Shape.SD21: Configuration(
        U_NET_2, (OPEN_CLIP_H,), 865_910_724, {"sample_size": 768, "scaling_factor": 0.18215}, "v_prediction"
    ),
    Shape.SDXL: Configuration(
        U_NET_XL, (CLIP_L, OPEN_CLIP_G), 2_567_463_684, {"sample_size": 1024, "scaling_factor": 0.13025}
    ),
}


def clip_tokenizer(pad_token: str) -> CLIPTokenizer:
    """A tokenizer with CLIP's numbers of tokens, beginning and end; words it has no token for are spelled."""
    own, merges = vocabulary_and_merges(WORDS)
    known = [token for token in own if token not in (START, END)]
    unused = (f"unused{number}</w>" for number in range(VOCABULARY - 2 - len(known)))
    vocabulary = {token: number for number, token in enumerate([*known, *unused, START, END])}
    with tempfile.TemporaryDirectory() as folder:
        vocab, rules = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocab.write_text(json.dumps(vocabulary))
        rules.write_text("\n".join(["#version: 0.2", *merges]) + "\n")
        return CLIPTokenizer(str(vocab), str(rules), model_max_length=77, pad_token=pad_token)


def at_random(make: Callable[[], nn.Module], dtype: torch.dtype, device: str) -> Any:
    """A model whose memory is asked for once, in its final format and place, and filled there."""
    with torch.device("meta"):
        model = make()
    # torch's own way: diffusers' warns of formats that a checkpoint might want kept, and there is none.
    model = nn.Module.to(model, dtype).to_empty(device=device)
    for module in model.modules():
        fill(module)
    return model.eval()


@torch.no_grad()
def fill(module: nn.Module) -> None:
    """Random values that keep activations near unit size, and the numbers of positions that CLIP keeps in a buffer."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.ndim == 1:
            parameter.fill_(1.0 if name == "weight" else 0.0)
        elif isinstance(module, nn.Embedding):
            parameter.normal_(std=0.02)
        else:
            bound = parameter[0].numel() ** -0.5
            parameter.uniform_(-bound, bound)
    for name, buffer in module.named_buffers(recurse=False):
        if name != "position_ids":
            raise ValueError(f"{type(module).__name__} keeps {name}, which is not known here")
        buffer.copy_(torch.arange(buffer.numel()).reshape(buffer.shape))


def text_encoder(shape: dict[str, Any], kind: type, dtype: torch.dtype, device: str = "cpu") -> Any:
    """CLIP's text encoder of this shape."""
    config = CLIPTextConfig(
        **shape, vocab_size=VOCABULARY, max_position_embeddings=77, bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1, pad_token_id=1,
    )  # fmt: skip
    return at_random(lambda: kind(config), dtype, device)


def full_size(shape: Shape, dtype: torch.dtype, device: str = "cpu") -> Backbone:
    """The pipeline, wrapped as users wrap their own."""
    config = CONFIGURATIONS[shape]
    unet = at_random(lambda: UNet2DConditionModel(**config.unet), dtype, device)
    if count(unet) != config.unet_weights:
        raise ValueError(f"the U-Net has {count(unet)} weights where {shape} has {config.unet_weights}")
    vae = at_random(lambda: AutoencoderKL(**AUTOENCODER, **config.autoencoder), dtype, device)
    first = text_encoder(config.text_encoders[0], CLIPTextModel, dtype, device)
    if shape is Shape.SDXL:
        second = text_encoder(config.text_encoders[1], CLIPTextModelWithProjection, dtype, device)
        pipe = StableDiffusionXLPipeline(
            vae, first, second, clip_tokenizer(END), clip_tokenizer("!"), unet, EulerDiscreteScheduler(**SCHEDULE),
            add_watermarker=False,
        )  # fmt: skip
    else:
        scheduler = DDIMScheduler(
            **SCHEDULE, prediction_type=config.prediction_type, clip_sample=False, set_alpha_to_one=False
        )
        tokenizer = clip_tokenizer(END if shape is Shape.SD15 else "!")
        pipe = StableDiffusionPipeline(
            vae, first, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
        )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return wrap_pipeline(pipe, f"random weights in the shape of {shape}")


def count(model: nn.Module) -> int:
    """Weights."""
    return sum(parameter.numel() for parameter in model.parameters())


def peak_gigabytes(device: str = "cpu") -> float:
    """The most memory held since it was last asked on a GPU, else by this process (Linux tells it in kilobytes)."""
    if not device.startswith("cuda"):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return peak


def square(size: int) -> Image.Image:
    """The middle of the demo's portrait: speed asks for no face, and a machine may have no detector."""
    return read_photo(portrait(), size=size, crop=False).image


class Stopwatch:
    """Times pieces of work on a device, prints a line of each, and keeps its seconds and peak by its first word."""

    def __init__(self, device: str):
        self.device = device
        self.found: dict[str, dict[str, float]] = {}

    def __call__(self, label: str, work: Callable[[], Any]) -> Any:
        """The work's result."""
        start = time.monotonic()
        result = work()
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds, peak = time.monotonic() - start, peak_gigabytes(self.device)
        print(f"{label:<32}{seconds:8.1f} s   peak {peak:5.1f} GB", flush=True)
        self.found[label.split()[0]] = {"seconds": seconds, "peak": 1e9 * peak}
        return result


def learned(backbone: Backbone, photo: Image.Image, *, steps: int, size: int, batch: int = 4) -> api.IdentityFile:
    """The person of the photo after a few steps; raises ValueError if a token is not a number."""
    request = api.LearnRequest(name="alice", settings={"steps": steps, "batch_size": batch}, size=size)
    identity = api.learn(backbone, [photo], request)
    if not all(bool(rows.isfinite().all()) for rows in identity.tensors.values()):
        raise ValueError("a learned token is not a number")
    return identity


def main(
    shape: Annotated[Shape, typer.Argument(help="Which model's shapes.")],
    size: Annotated[int, typer.Option(help="Side in pixels to learn and to draw at.")] = 256,
    steps: Annotated[int, typer.Option(help="Updates, and denoising steps.")] = 2,
    dtype: Annotated[Precision, typer.Option(help="Number format.")] = Precision.FLOAT32,
    batch: Annotated[int, typer.Option(help="Samples an update.")] = 4,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="PNG to write.")] = None,
    result: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
) -> None:
    """Learn a person and draw one picture on a model of full size with random weights."""
    if shape is Shape.SDXL and dtype is Precision.FLOAT32:
        print("SDXL in float32 holds 14 GB of weights; --dtype bfloat16 halves them")
    timed = Stopwatch(device)
    backbone = timed(f"build {shape} in {dtype}", lambda: full_size(shape, getattr(torch, dtype), device))
    encoders = dict(zip(backbone.encoder_names, backbone.text_encoders, strict=True))
    parts = {"U-Net": backbone.unet, "autoencoder": backbone.vae, **encoders}
    for name, part in parts.items():
        print(f"  {name:<18}{count(part) / 1e6:10.1f} M weights")
    photo = square(size)
    identity = timed(
        f"learn {steps} steps at {size}", lambda: learned(backbone, photo, steps=steps, size=size, batch=batch)
    )
    for name, rows in identity.tensors.items():
        print(f"  {name} {tuple(rows.shape)}, all finite")
    settings = DrawSettings(steps=steps, size=size)
    image = timed(
        f"draw {steps} steps at {size}",
        lambda: api.generate(backbone, PROMPT, [identity], seeds=[0], settings=settings)[0],
    )
    print(f"  {image.width} x {image.height} pixels, all finite, from {image.getextrema()}")
    if out is not None:
        image.save(out)
    if result is not None:
        asked = {"model": shape, "size": size, "steps": steps, "batch": batch, "dtype": dtype}
        result.write_text(json.dumps({**asked, **timed.found}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
