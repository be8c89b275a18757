"""Toy sizes of the embedded models and pictures of noise, for stages of training that take a second."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from onephoto.base.architecture import Architecture, XlArchitecture, build_vae

TOY = Architecture(
    image_size=64, latent_channels=4, vae_channels=(8, 8, 8, 8), unet_channels=(32, 32), text_width=32, text_layers=1,
    text_heads=2, max_length=12,
)  # fmt: skip
TOY_XL = XlArchitecture(**asdict(TOY), second_width=16, second_layers=2, second_heads=2, size_width=8)


def toy_pictures(folder: Path) -> Path:
    """80 pictures of noise in one shard."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 255, (80, 64, 64, 3), np.uint8)
    np.save(folder / "0000.npy", images)
    lines = [json.dumps({"captions": ["a photo of a man", "a man"]})] * len(images)
    (folder / "0000.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def toy_autoencoder(work: Path) -> Path:
    """A working folder with an autoencoder in it that has learned nothing."""
    torch.manual_seed(0)
    build_vae(TOY).save_pretrained(work / "vae")
    return work
