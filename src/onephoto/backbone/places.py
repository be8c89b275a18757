"""Places of people as users give them: boxes, masks, or files of masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from onephoto.core.regions import Mask, Place, in_shares, mask_of
from onephoto.errors import PromptError

Region = Place | Image.Image | NDArray[Any] | Tensor | Path | str
"""A box in shares or pixels, or a mask: a picture, its file, or numbers (H, W), white where the person may be."""
SLACK = 0.03
"""How far a mask's proportions may be off the picture's."""


def places_of(regions: Mapping[str, Any], size: tuple[int, int] | None = None) -> dict[str, Place]:
    """Regions as places, by name; size is (width, height) of the picture in pixels, where it is known.

    Raises PromptError in a line for a mask that cannot be read, is no (H, W), is black, or has other proportions than
    the picture.
    """
    return {name: _place(name, region, size) for name, region in regions.items()}


def read_mask(path: Path | str, name: str) -> Image.Image:
    """The picture of a mask's file, in memory; raises PromptError."""
    try:
        with Image.open(path) as image:
            return image.copy()
    except FileNotFoundError as error:
        raise PromptError(f"{path}: no such file; the region of <{name}> is a box or the picture of a mask") from error
    except (UnidentifiedImageError, OSError) as error:
        raise PromptError(f"{path}: not a picture that can be read as the region of <{name}>") from error


def _place(name: str, region: Any, size: tuple[int, int] | None) -> Place:
    if isinstance(region, Mask):
        return region
    if isinstance(region, tuple | list):
        if len(region) != 4:
            raise PromptError(f"the region of <{name}> is not left,top,right,bottom")
        return in_shares(region, *size) if size else in_shares(region, 1, 1)
    lit = _lit(read_mask(region, name) if isinstance(region, str | Path) else region)
    if lit.ndim != 2 or not lit.numel():
        raise PromptError(f"the mask of <{name}> has shape {tuple(lit.shape)}; give (height, width)")
    if not lit.any():
        raise PromptError(f"the mask of <{name}> is black all over; make it white where the person may be")
    height, width = lit.shape
    if size and abs(width * size[1] / (height * size[0]) - 1) > SLACK:
        raise PromptError(
            f"the mask of <{name}> is {width} x {height}, of other proportions than the picture, {size[0]} x {size[1]}"
        )
    return mask_of(lit)


def _lit(mask: Any) -> Tensor:
    """Where a mask is nearer to white than to black, as what is transparent in it is: (H, W), bool."""
    if isinstance(mask, Image.Image) and mask.mode[0] not in "IF":
        over = mask.convert("RGBA")
        mask = Image.alpha_composite(Image.new("RGBA", over.size, "black"), over).convert("L")
    values = mask.detach().float().cpu() if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask, np.float32))
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values.squeeze(0 if values.shape[0] == 1 else -1)
    white = 255 if values.numel() and values.max() > 1 else 1
    return values >= white / 2
