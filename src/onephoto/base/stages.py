"""The stages of base training with their folders: work/vae, work/latents, work/diffusion, work/mini, ..."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from onephoto.backbone.control import save_control
from onephoto.backbone.grown import save_own
from onephoto.backbone.load import embedded_model
from onephoto.base.architecture import Architecture, XlArchitecture
from onephoto.base.control import ControlPainter, HintedSet
from onephoto.base.diffusion import DiffusionSettings, take_average, train_diffusion, warm_up
from onephoto.base.faces import FaceSettings, train_faces
from onephoto.base.growing import LESSONS, TwiceTold, begin_own, keep_own, take_own, take_shipped_xl, taken_over
from onephoto.base.judges import JudgeSettings, train_judge
from onephoto.base.latents import LatentSet, encode_latents
from onephoto.base.names import tie_names, write_out_names
from onephoto.base.painters import Painter, build_painter, load_painter, save_pipeline
from onephoto.base.pictures import PictureSet, called_somebody
from onephoto.base.tokenizer import build_tokenizer, load_tokenizer
from onephoto.base.training import freeze
from onephoto.base.vae import VaeProgress, VaeSettings, train_decoder, train_vae
from onephoto.errors import SettingError
from onephoto.evaluate.judge_network import JudgeConfig
from onephoto.world.captions import vocabulary
from onephoto.world.names import SOMEBODY, every_name

DIFFUSION, SDXL = Path("diffusion", "diffusion.safetensors"), Path("sdxl", "sdxl.safetensors")
CONTROL = Path("control", "training.safetensors")
BEGUN = Path("sdxl", "begun")
"""Checkpoints within the working folder, in folders named after their stages; what SDXL's format begins with, too."""


def vae(
    pictures: Sequence[Path], work: Path, minutes: float, *, device: str = "cpu", arch: Architecture | None = None
) -> Iterator[str]:
    """Train the autoencoder; work/vae holds its average at the end of each run."""
    settings = VaeSettings.on(device, minutes)
    yield from map(_told, train_vae(PictureSet(*pictures), work, settings, arch=arch or Architecture(), device=device))


def decoder(pictures: Sequence[Path], work: Path, minutes: float, *, device: str = "cpu") -> Iterator[str]:
    """Train the decoder of work/vae alone, so that latents made with it, and the U-Net, stay good."""
    settings = VaeSettings.on(device, minutes)
    lines = train_decoder(PictureSet(*pictures), work, settings, vae=trained_vae(work), device=device)
    yield from map(_told, lines)


def _told(line: VaeProgress) -> str:
    return f"step {line.step}: loss {line.loss:.4f}" + (f", {line.psnr:.2f} dB" if line.psnr else "")


def latents(pictures: Sequence[Path], work: Path, *, size: int | None = None, device: str = "cpu") -> Iterator[str]:
    """Encode all pictures with the trained autoencoder; a new autoencoder needs an empty work/latents."""
    vae = trained_vae(work).to(device)
    folder = latents_folder(work, size or vae.config.sample_size)
    encode_latents(PictureSet(*pictures), vae, folder, size=size or vae.config.sample_size)
    yield f"{folder}: done"


def latents_folder(work: Path, size: int) -> Path:
    """Where the latents of pictures at `size` pixels lie."""
    return work / "latents" / str(size)


def diffusion(
    pictures: Sequence[Path], work: Path, minutes: float, *, size: int | None = None, device: str = "cpu",
    compiled: bool = False, arch: Architecture | None = None, begin: Callable[[], object] | None = None,
) -> Iterator[str]:  # fmt: skip
    """Train text encoder and U-Net, on latents of pictures at `size` pixels, the model's own unless given.

    Half the size costs a quarter, and words and layout are learned there too: begin with it where compute is short.
    `compiled` is always so on a GPU; on a CPU it pays back where bfloat16 products are fast (AMX). `begin` is called
    when all but the latents is ready, and may wait for these.
    """
    arch = arch or Architecture()
    words = tokenizer(work, arch)
    torch.manual_seed(0)
    painter = build_painter(arch, words)
    painter.take_shipped(words, embedded_model())
    tie_names(painter.text_encoders(), words, strangers=called_somebody(pictures))
    side = size or arch.image_size
    settings = _settled(painter, arch, minutes, side, device, compiled)
    if begin is not None:
        begin()
    sources = PictureSet(*pictures)
    prepare = None if device == "cpu" else _encoder(sources, work, side, device)
    data = LatentSet(sources, latents_folder(work, side), words, device=device, prepare=prepare)
    yield from _trained(painter, data, work / DIFFUSION, settings, device)


def sdxl(
    pictures: Sequence[Path], work: Path, minutes: float, *, size: int | None = None, device: str = "cpu",
    compiled: bool = False, arch: XlArchitecture | None = None, lessons: int = LESSONS,
) -> Iterator[str]:  # fmt: skip
    """Train what Stable Diffusion XL's format adds to work/mini, or the package's own model; options as in `diffusion`.

    It goes on from a checkpoint in `work`; else it begins with `lessons` of the second text encoder, with the shipped
    one where there is one, for keys and values are always the nearest to those of the model that it grows out of.
    """
    arch, mini = arch or XlArchitecture(), trained_model(work)
    torch.manual_seed(0)
    painter, words = taken_over(arch, mini)
    begun = (work / SDXL).exists()
    if begun and not take_own(painter.unet, work / BEGUN):
        raise SettingError(f"{work / BEGUN}: gone, or of other shapes; empty {work / SDXL.parent} to begin anew")
    # Before names are tied, for a tied table is no longer the shipped one's.
    shipped = not begun and take_shipped_xl(painter, words, embedded_model("mini-xl"), embedded_model())
    tie_names(painter.text_encoders(), words, strangers=called_somebody(pictures))
    freeze([painter.text_encoder])
    side, sources = size or arch.image_size, PictureSet(*pictures)
    prepare = None if device == "cpu" else _encoder(sources, work, side, device)
    data = TwiceTold(sources, latents_folder(work, side), words, device=device, prepare=prepare)
    if not begun:
        begin_own(painter.to(device), mini, data.captions(), lessons=lessons, goes_on=shipped)
        save_own(painter.unet, work / BEGUN)
    settings = _settled(painter, arch, minutes, side, device, compiled)
    yield from _trained(painter, data, work / SDXL, settings, device)


def _settled(
    painter: Painter, arch: Architecture, minutes: float, size: int, device: str, compiled: bool
) -> DiffusionSettings:
    """Settings of a run, for which the U-Net has been compiled where it pays."""
    settings = DiffusionSettings.on(device, minutes, compiled=compiled)
    if device != "cpu" or compiled:
        side = size // arch.pixels_per_latent
        warm_up(painter, (arch.latent_channels, side, side), arch.max_length, settings, device=device)
    return settings


def _encoder(pictures: PictureSet, work: Path, size: int, device: str) -> Callable[[], None]:
    """Makes the latents of pictures that are new: a GPU does so in passing."""
    vae, folder = trained_vae(work).to(device), latents_folder(work, size)
    return lambda: encode_latents(pictures, vae, folder, size=size, batch_size=256)


def _trained(
    painter: Painter, data: LatentSet, checkpoint: Path, settings: DiffusionSettings, device: str
) -> Iterator[str]:
    for line in train_diffusion(painter, data, checkpoint, settings, device=device):
        yield f"step {line.step}: loss {line.loss:.4f}, {line.speed:.1f} pictures/s"


def export(work: Path, *, arch: Architecture | None = None) -> Iterator[str]:
    """Write the averaged weights as a Stable Diffusion folder, work/mini."""
    arch = arch or Architecture()
    words = tokenizer(work, arch)
    painter = build_painter(arch, words)
    _average(painter, painter.text_encoders(), words, work / DIFFUSION)
    save_pipeline(painter.pipeline(trained_vae(work), words), work / "mini")
    yield f"{work / 'mini'}: done"


def export_sdxl(work: Path, *, arch: XlArchitecture | None = None) -> Iterator[str]:
    """Write the averaged weights as a Stable Diffusion XL folder, work/mini-xl, and without what they share with
    work/mini as work/mini-xl-own, which the package takes.
    """
    arch = arch or XlArchitecture()
    painter, words = taken_over(arch, trained_model(work))
    take_own(painter.unet, work / BEGUN)
    _average(painter, [painter.text_encoder_2], words, work / SDXL)
    save_pipeline(painter.pipeline(trained_vae(work), words), work / "mini-xl")
    keep_own(painter, work / "mini-xl", work / "mini-xl-own")
    yield f"{work / 'mini-xl'}: done"


def _average(painter: Painter, encoders: Sequence[CLIPTextModel], words: CLIPTokenizer, checkpoint: Path) -> None:
    """Give a painter the averaged weights of a stage that trained these text encoders."""
    if not checkpoint.exists():
        raise SettingError(f"{checkpoint}: not there yet; run the stage {checkpoint.parent.name} first")
    tie_names(encoders, words)
    take_average(painter, checkpoint)
    write_out_names(encoders)


def control(
    pictures: Sequence[Path], work: Path, minutes: float, *, size: int | None = None, device: str = "cpu"
) -> Iterator[str]:
    """Train the ControlNet for work/mini, or the package's own model, on pictures rendered with maps.

    work/control holds what the package takes, work/controlnet the same as plain diffusers loads it.
    """
    folder = trained_model(work)
    words = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    painter = ControlPainter(load_painter(folder))
    side = size or trained_vae(work).config.sample_size
    data = HintedSet(PictureSet(*pictures), latents_folder(work, side), words, size=side, device=device)
    yield from _trained(painter, data, work / CONTROL, DiffusionSettings.on(device, minutes), device)
    trained = ControlPainter(load_painter(folder))
    take_average(trained, work / CONTROL)
    save_control(trained.control, work / "control")
    trained.control.half().save_pretrained(work / "controlnet", safe_serialization=True)


def trained_model(work: Path) -> Path:
    """The folder work/mini, or the package's own; raises SettingError while there is neither."""
    for folder in (work / "mini", embedded_model()):
        if (folder / "model_index.json").exists():
            return folder
    raise SettingError(f"{work / 'mini'}: not there yet; run the stages diffusion and export first")


def judges(pictures: Sequence[Path], work: Path, minutes: float, *, device: str = "cpu") -> Iterator[str]:
    """Train the judge of the evaluation; work/judge holds it, calibrated on the last two shards."""
    words = kept_tokenizer(work / "judge", vocabulary(), JudgeConfig.max_length)
    settings = JudgeSettings.on(device, minutes)
    for line in train_judge(PictureSet(*pictures), work, settings, tokenizer=words, device=device):
        yield str(line)


def faces(pictures: Sequence[Path], work: Path, minutes: float, *, device: str = "cpu") -> Iterator[str]:
    """Train the face judge on people 30000 to 89999; work/faces holds it, calibrated on people 90000 to 99999."""
    for line in train_faces(PictureSet(*pictures), work, FaceSettings(minutes=minutes), device=device):
        yield str(line)


def trained_vae(work: Path) -> AutoencoderKL:
    """The autoencoder of work/vae, or the package's own; raises SettingError while there is neither."""
    for folder in (work / "vae", embedded_model() / "vae"):
        if (folder / "config.json").exists():
            return AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval().requires_grad_(False)
    raise SettingError(f"{work / 'vae'}: not there yet; run the stage vae first")


def tokenizer(work: Path, arch: Architecture) -> CLIPTokenizer:
    """The world's words and names as one token each."""
    return kept_tokenizer(work / "tokenizer", [*vocabulary(), SOMEBODY, *every_name()], arch.max_length)


def kept_tokenizer(folder: Path, words: Sequence[str], max_length: int) -> CLIPTokenizer:
    """A tokenizer of these words, or the one that is there: a run keeps the vocabulary it began with."""
    if (folder / "vocab.json").exists():
        return load_tokenizer(folder, max_length)
    return build_tokenizer(folder, words, max_length)
