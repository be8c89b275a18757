"""A Stable Diffusion model of any family as one frozen `Backbone`."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from onephoto.backbone.grown import parts_of
from onephoto.backbone.hooks import CrossAttentionLayer, conditioned, cross_attention_layers, uncompiled
from onephoto.backbone.prompts import Conditioning
from onephoto.backbone.refusals import refusal, refuse_checkpoint, refuse_family
from onephoto.core.denoising import add_noise, denoising_target
from onephoto.core.packing import Routing, pack, selected
from onephoto.core.stages import stage_index
from onephoto.errors import ModelError

__all__ = ["Backbone", "CrossAttentionLayer", "load_backbone", "wrap_pipeline"]

EMBEDDED = ("mini", "mini-xl")
"""The embedded models: Stable Diffusion 1.x's format, and Stable Diffusion XL's."""
FINGERPRINT_ROWS = 64
CLEARLY = 0.8
"""Share of float32's time that counts as faster: by less, whoever asks twice might be answered twice."""
HUB_CONFIGURATIONS = {
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd2": "stabilityai/stable-diffusion-2-1",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}  # fmt: skip
"""Where diffusers has the configuration of checkpoints in the original layout from, as its loader names them."""


@dataclass(frozen=True)
class Backbone:
    """A frozen text-to-image model; what it is made of stays reachable through `pipeline`."""

    pipeline: Any
    family: str
    model_id: str

    @property
    def unet(self) -> Any:
        """The U-Net, without the wrapping that torch.compile gives it."""
        return uncompiled(self.pipeline.unet)

    @property
    def vae(self) -> Any:
        """The autoencoder."""
        return self.pipeline.vae

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """The names of its text encoders, as diffusers has them."""
        return ("text_encoder", "text_encoder_2") if self.family == "sdxl" else ("text_encoder",)

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """One text encoder, or SDXL's two."""
        return tuple(getattr(self.pipeline, name) for name in self.encoder_names)

    @property
    def tokenizers(self) -> tuple[Any, ...]:
        """The tokenizer of each text encoder."""
        return tuple(getattr(self.pipeline, name.replace("text_encoder", "tokenizer")) for name in self.encoder_names)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """The noise schedule (T,), float32."""
        return self.pipeline.scheduler.alphas_cumprod.float().to(self.device)

    @property
    def prediction_type(self) -> str:
        """What the U-Net predicts: "epsilon", "v_prediction" or "sample"."""
        return self.pipeline.scheduler.config.prediction_type

    @property
    def num_timesteps(self) -> int:
        """T."""
        return self.pipeline.scheduler.config.num_train_timesteps

    @property
    def latent_size(self) -> int:
        """Side of the latent picture that the model was trained on."""
        return self.unet.config.sample_size

    @property
    def image_size(self) -> int:
        """Side of that picture in pixels."""
        return self.latent_size * self.pixels_per_latent

    @property
    def pixels_per_latent(self) -> int:
        """Pixels on a latent position's side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def max_length(self) -> int:
        """L, prompt tokens with BOS and EOS."""
        return self.tokenizers[0].model_max_length

    @property
    def device(self) -> torch.device:
        """Where the U-Net is; the CPU for one whose weights offloading keeps elsewhere until they are needed."""
        device: torch.device = self.unet.device
        return torch.device("cpu") if device.type == "meta" else device

    @property
    def dtype(self) -> torch.dtype:
        """What the U-Net computes in."""
        return self.unet.dtype

    @cached_property
    def layers(self) -> tuple[CrossAttentionLayer, ...]:
        """The U-Net's cross-attention layers in the order in which they run."""
        return cross_attention_layers(self.unet)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor, generator: torch.Generator | None = None, *, mean: bool = False) -> Tensor:
        """Pixels (B, 3, H, W) in [-1, 1] -> scaled latents (B, c, h, w), drawn from the autoencoder's posterior, or its
        mean.
        """
        with _wide_enough(self.vae):
            posterior = self.vae.encode(pixels.to(_computing(self.vae), self.vae.dtype)).latent_dist
            latents = posterior.mean if mean else posterior.sample(generator)
            return (latents * self.vae.config.scaling_factor).to(self.dtype)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, c, h, w) -> pixels (B, 3, H, W) in about [-1, 1]."""
        with _wide_enough(self.vae):
            return self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype)).sample

    def class_vectors(self, word: str) -> dict[str, Tensor]:
        """Token embeddings of a class word for each text encoder: {encoder name: (n, width)}."""
        vectors = {}
        for name, encoder, tokenizer in zip(self.encoder_names, self.text_encoders, self.tokenizers, strict=True):
            ids = tokenizer(word, add_special_tokens=False, return_tensors="pt").input_ids[0]
            vectors[name] = _rows(encoder, ids).clone()
        return vectors

    def fingerprint_rows(self) -> dict[str, Tensor]:
        """64 rows of each original vocabulary, evenly spaced: {encoder name: (64, width)}, float32 on the CPU."""
        rows = {}
        for name, encoder, tokenizer in zip(self.encoder_names, self.text_encoders, self.tokenizers, strict=True):
            # Rows that a program added behind the original vocabulary do not count.
            places = torch.linspace(0, tokenizer.vocab_size - 1, FINGERPRINT_ROWS).long()
            rows[name] = _rows(encoder, places).float().cpu()
        return rows

    def attention_shapes(self) -> dict[str, tuple[int, int]]:
        """Shape of each cross-attention's K projection: {layer name: (out, in)}."""
        return {layer.name: tuple(layer.module.to_k.weight.shape) for layer in self.layers}

    def added_conditions(
        self, conditioning: Conditioning, batch: int, *, size: tuple[int, int] | None = None
    ) -> dict[str, Any]:
        """SDXL's pooled prompt and sizes as the U-Net takes them; nothing for other families.

        size is (height, width) in pixels, by default the model's own.
        """
        if conditioning.pooled is None:
            return {}
        height, width = size or (self.image_size, self.image_size)
        sizes = torch.tensor([height, width, 0, 0, height, width], dtype=self.dtype, device=self.device)
        pooled = conditioning.pooled.to(self.dtype)
        return {"added_cond_kwargs": {"text_embeds": pooled.expand(batch, -1), "time_ids": sizes.expand(batch, -1)}}

    def predict(self, noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict under one prompt, each sample at its own timestep: (B, c, h, w), (B,) -> (B, c, h, w)."""
        stage = stage_index(t, conditioning.routing.num_stages, self.num_timesteps)
        return self.predict_each(noisy, t, conditioning, stage)

    def predict_each(self, noisy: Tensor, t: Tensor, conditioning: Conditioning, stage: Tensor) -> Tensor:
        """The same, but each sample reads the routing's row that `stage` (B,), long, says, whatever its timestep."""
        contexts = selected(conditioning.contexts.to(self.dtype), conditioning.routing, stage)
        own = torch.arange(contexts.shape[1])[None]
        height, width = (side * self.pixels_per_latent for side in noisy.shape[-2:])
        added = self.added_conditions(conditioning, len(noisy), size=(height, width))
        with conditioned(
            self.unet, self.layers, Routing(own[:, ::2], own[:, 1::2]), length=self.max_length,
            num_timesteps=self.num_timesteps, num_contexts=contexts.shape[1],
        ):  # fmt: skip
            return self.unet(noisy.to(self.dtype), t, encoder_hidden_states=pack(contexts), **added).sample

    def squared_errors(
        self, clean: Tensor, noise: Tensor, t: Tensor, conditioning: Conditioning, stage: Tensor | None = None
    ) -> Tensor:
        """What L_denoise is the mean of, float32: clean latents and noise (B, c, h, w), timesteps (B,) -> (B, c, h, w).

        stage as in `predict_each`; each timestep's own unless given.
        """
        if stage is None:
            stage = stage_index(t, conditioning.routing.num_stages, self.num_timesteps)
        noisy = add_noise(clean, noise, self.alphas_cumprod, t)
        target = denoising_target(clean, noise, self.alphas_cumprod, t, self.prediction_type)
        return (self.predict_each(noisy, t, conditioning, stage).float() - target.float()).square()


def _computing(module: Any) -> torch.device:
    """Where a module computes: while offloading keeps its weights elsewhere, a hook of it or of a part says so."""
    hooks = (getattr(part, "_hf_hook", None) for part in module.modules())
    told = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next((device for device in told if device is not None), module.device))


def _rows(encoder: Any, ids: Tensor) -> Tensor:
    """Rows of an encoder's vocabulary, (n,) -> (n, width), through its module, which knows where they are kept."""
    embedding = encoder.get_input_embeddings()
    device = embedding.weight.device
    return embedding(ids if device.type == "meta" else ids.to(device)).detach()


@contextmanager
def _wide_enough(vae: Any) -> Iterator[None]:
    """Within, an autoencoder that overflows in float16, as SDXL's does and says so, computes in float32."""
    if vae.dtype != torch.float16 or not getattr(vae.config, "force_upcast", False):
        yield
        return
    vae.float()
    try:
        yield
    finally:
        vae.half()


def wrap_pipeline(pipeline: Any, model_id: str = "") -> Backbone:
    """A user's own diffusers pipeline as a Backbone, its weights frozen; raises ModelError for other families."""
    family = _family(pipeline)
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        module = getattr(pipeline, name, None)
        if module is not None:
            _freeze(module)
    return Backbone(pipeline, family, model_id or str(getattr(pipeline, "name_or_path", "") or type(pipeline).__name__))


def _freeze(module: torch.nn.Module) -> None:
    """What is frozen already is left alone: to write to all parts takes longer than to look at them."""
    parts = list(module.modules())
    if any(part.training for part in parts):
        module.eval()
    weights = (weight for part in parts for weight in part._parameters.values() if weight is not None)
    if any(weight.requires_grad for weight in weights):
        module.requires_grad_(False)


def _family(pipeline: Any) -> str:
    kind = type(pipeline).__name__
    refuse_family(kind)
    unet = getattr(pipeline, "unet", None)
    if unet is None or getattr(pipeline, "text_encoder", None) is None:
        raise ModelError(f"{kind} has no U-Net with a text encoder; use a Stable Diffusion 1.x, 2.x or SDXL model")
    if getattr(pipeline, "text_encoder_2", None) is not None:
        return "sdxl"
    return "sd2" if pipeline.scheduler.config.prediction_type == "v_prediction" else "sd1"


def load_backbone(
    model: str | Path = "mini", *, device: str = "cpu", dtype: torch.dtype = torch.float32, offline: bool = False
) -> Backbone:
    """Load "mini" or "mini-xl" (the embedded models), a folder, a .safetensors checkpoint or a hub id; offline asks no
    hub.

    Raises ModelError in one line when the model is missing, gated, or of a family that is not supported.
    """
    path = embedded_model(str(model)) if str(model) in EMBEDDED else Path(model)
    options = {"dtype": dtype, "local_files_only": offline}
    if path.is_file():
        pipeline = _from_file(path, options)
    elif path.is_dir():
        _refuse_by_index(path)
        grown = path == embedded_model("mini-xl")
        pipeline = _from_pretrained(str(path), options | (parts_of(path, embedded_model(), dtype) if grown else {}))
    elif str(model) in EMBEDDED:
        raise ModelError(f"the weights of {model} are not there; make them with: onephoto base train")
    elif path.is_absolute() or str(model).count("/") != 1:
        raise ModelError(
            f"{model}: no such folder or file; give a folder, a .safetensors file or a hub id like org/name"
        )
    else:
        pipeline = _from_pretrained(str(model), options)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return wrap_pipeline(pipeline, str(model))


def fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the device computes in it, and on a CPU is found to be faster by it; float32 elsewhere."""
    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if device == "cpu" else {}
        native = any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        fast = native and bfloat16_share() < CLEARLY
    return torch.bfloat16 if fast else torch.float32


def bfloat16_share(*, side: int = 512, times: int = 8) -> float:
    """What share of float32's time a product of matrices takes the CPU in bfloat16: some with AVX-512's instructions
    for it take twice as long by them. Both are timed in turns, and the fastest of each counts.
    """
    pairs = [torch.ones(2, side, side, dtype=dtype).unbind() for dtype in (torch.bfloat16, torch.float32)]
    seconds: list[list[float]] = [[], []]
    for _ in range(times):
        for (first, second), own in zip(pairs, seconds, strict=True):
            started = time.perf_counter()
            first @ second
            own.append(time.perf_counter() - started)
    return min(seconds[0]) / min(seconds[1])


def embedded_model(name: str = "mini") -> Path:
    """Where an embedded model's weights lie in the package."""
    return Path(str(resources.files("onephoto") / "weights" / name))


def _refuse_by_index(folder: Path) -> None:
    """Unsupported families are named before gigabytes are read."""
    index = folder / "model_index.json"
    if not index.exists():
        raise ModelError(
            f"{folder}: no model_index.json, so not a diffusers folder; convert it, or give its .safetensors"
        )
    refuse_family(json.loads(index.read_text()).get("_class_name", ""), f"{folder}: ")


def _from_pretrained(model: str, options: Mapping[str, Any]) -> Any:
    try:
        if not Path(model).is_dir():
            # The small index comes first: a family that is refused costs no gigabytes.
            asked = {"local_files_only": options["local_files_only"]}
            refuse_family(DiffusionPipeline.load_config(model, **asked).get("_class_name", ""), f"{model}: ")
        return DiffusionPipeline.from_pretrained(model, **options)
    except (OSError, ValueError) as error:
        raise refusal(model, error) from error


def _from_file(path: Path, options: Mapping[str, Any]) -> Any:
    if path.suffix != ".safetensors":
        raise ModelError(f"{path.name}: only .safetensors checkpoints are read; convert it, since pickles can run code")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as tensors:
            keys = list(tensors.keys())
        refuse_checkpoint(path.name, keys)
        family = _layout(keys)
        kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
        found = _configuration(path, family, options["local_files_only"])
        return kind.from_single_file(str(path), **{**options, **found})
    except SafetensorError as error:
        raise ModelError(f"{path.name}: not a whole safetensors file ({error}); download it again") from error
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0][:160]
        raise ModelError(
            f"{path.name}: cannot be loaded ({first}); its configuration may need the network once, or the folder "
            f"{path.stem} beside it"
        ) from error


def _layout(keys: Sequence[str]) -> str:
    """The family whose original layout these names of tensors are of; Stable Diffusion 1.x unless told otherwise."""
    if any(key.startswith("conditioner.embedders.1") for key in keys):
        return "sdxl"
    return "sd2" if any(key.startswith("cond_stage_model.model.") for key in keys) else "sd1"


def _configuration(path: Path, family: str, offline: bool) -> dict[str, Any]:
    """Where a checkpoint's configuration and tokenizers are, as diffusers takes it.

    A diffusers folder beside it that is named like it, whose weights are not read; else the hub, or offline its cache.

    Raises OSError where they are not, ModelError for a folder of another family.
    """
    folder = path.with_suffix("")
    if (folder / "model_index.json").exists():
        _refuse_by_index(folder)
        return {"config": str(folder)}
    if not offline:
        return {}
    from huggingface_hub import snapshot_download

    return {"config": snapshot_download(HUB_CONFIGURATIONS[family], local_files_only=True)}
