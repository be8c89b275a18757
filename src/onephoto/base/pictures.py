"""Rendered pictures and their captions on disk, as `onephoto world render` leaves them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onephoto.errors import WorldError
from onephoto.world.names import NAMED

NO_BOX = [math.nan] * 4


class PictureSet:
    """All shards of some folders: memory-mapped pictures. Rescan picks up shards written meanwhile."""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self.rescan()

    def rescan(self) -> None:
        """Look at the folders again; raises WorldError while one holds no finished shard."""
        for folder in self.folders:
            if not any(folder.glob("*.npy")):
                raise WorldError(f"{folder}: no rendered pictures; run onephoto world render {folder} first")
        self.paths = [path for folder in self.folders for path in sorted(folder.glob("*.npy"))]
        self.shards = [np.load(path, mmap_mode="r") for path in self.paths]
        self.ends = np.cumsum([len(shard) for shard in self.shards])
        self._faces: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.ends[-1])

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        """Pictures by index: (B,) -> (B, H, W, 3) uint8."""
        shard_of = np.searchsorted(self.ends, indices, side="right")
        starts = np.concatenate([[0], self.ends[:-1]])
        return np.stack([self.shards[s][i - starts[s]] for s, i in zip(shard_of, indices, strict=True)])

    def faces(self) -> np.ndarray:
        """`face_boxes` of all pictures (n, 4), read once."""
        if self._faces is None:
            self._faces = face_boxes(list(self.records())).numpy()
        return self._faces

    def records(self) -> Iterator[dict]:
        """One record a picture (captions, facts, person), in the pictures' order."""
        for path in self.paths:
            yield from records_of(path)


def records_of(shard: Path) -> Iterator[dict]:
    """One record for each picture of a shard."""
    with shard.with_suffix(".jsonl").open() as lines:
        yield from (json.loads(line) for line in lines)


def called_somebody(folders: Sequence[Path]) -> list[int]:
    """Seeds of the people whom captions of rendered folders call somebody, also of those not rendered yet."""
    settings = [json.loads((folder / "settings.json").read_text()) for folder in folders if _settled(folder)]
    ranges = [range(*one["people"]) for one in settings if one.get("called")]
    return sorted({seed for people in ranges for seed in people} - set(range(NAMED)))


def _settled(folder: Path) -> bool:
    return (folder / "settings.json").exists()


def face_boxes(records: Sequence[Mapping[str, Any]]) -> Tensor:
    """Each picture's face (n, 4), left, top, right, bottom in shares of the picture; NaN where none is known."""
    return torch.tensor([record.get("facts", {}).get("face") or NO_BOX for record in records])


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(pixels: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays."""
    error = np.mean((first.astype(np.float32) - second.astype(np.float32)) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))
