"""Small faces drawn again: each is cut out, enlarged, redrawn from part of the way, and put back under a soft mask."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.backbone.places import Region, places_of
from onephoto.backbone.prompts import PSEUDO_WORD, names_in
from onephoto.core.regions import Place, meets
from onephoto.core.tokens import TokenTable
from onephoto.errors import SettingError
from onephoto.generate.draw import DrawSettings, batches, draw, drawing, prompt_arguments
from onephoto.generate.redraw import holding, image_to_image, redrawn
from onephoto.identity.faces import detect_faces
from onephoto.identity.photo import around, cut, inside

Square = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Which faces are drawn again, and how much.

    strength: the share of the denoising steps that a face goes back, 0 to 1. largest: the greatest height of a face, in
    sides of what the model draws, that counts as small; larger ones had pixels enough the first time.
    """

    strength: float = 0.4
    largest: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise SettingError(f"the strength of refining faces is {self.strength}; it must be above 0 and up to 1")


def draw_refined(
    backbone: Backbone, text: str | Sequence[str], tables: Mapping[str, TokenTable], *, classes: Mapping[str, str],
    seeds: Sequence[int], settings: DrawSettings, regions: Mapping[str, Region] | None = None,
    faces: Faces | None = None,
) -> list[Image.Image]:  # fmt: skip
    """The pictures of `draw`, the small faces in each drawn again as `faces` has it; none are where that is None."""
    images = draw(backbone, text, tables, classes=classes, seeds=seeds, settings=settings, regions=regions)
    if faces is None:
        return images
    texts = [text] if isinstance(text, str) else text
    texts = list(texts) * (len(seeds) // len(texts))
    return refined(
        backbone, images, texts, tables, classes=classes, seeds=seeds, settings=settings, regions=regions, faces=faces
    )


def refined(
    backbone: Backbone, images: Sequence[Image.Image], texts: Sequence[str], tables: Mapping[str, TokenTable], *,
    classes: Mapping[str, str], seeds: Sequence[int], settings: DrawSettings,
    regions: Mapping[str, Region] | None = None, faces: Faces | None = None,
) -> list[Image.Image]:  # fmt: skip
    """Pictures of these prompts with their small faces drawn again, one of each picture at a time and together;
    outside the squares around them no pixel changes.

    Each face is drawn by the prompt itself, with nobody else named in it (see `face_text`); a face of which that cannot
    be known is left as it is. Raises PhotoError where there is no face detector.
    """
    images, faces = list(images), faces or Faces()
    waiting = [
        small_faces(backbone, image, text, classes=classes, seed=seed, regions=regions, largest=faces.largest)
        for image, text, seed in zip(images, texts, seeds, strict=True)
    ]
    while any(waiting):
        turn = {place: own.pop(0) for place, own in enumerate(waiting) if own}
        cuts = [cut(images[place], face.square) for place, face in turn.items()]
        drawn = _redrawn(
            backbone, cuts, list(turn.values()), tables, classes=classes, settings=settings, strength=faces.strength
        )
        for (place, face), small, new in zip(turn.items(), cuts, drawn, strict=True):
            images[place] = pasted(images[place], new.resize(small.size, Image.Resampling.LANCZOS), face.square)
    return images


@dataclass(frozen=True)
class SmallFace:
    """A face to be drawn again: the square around it, the prompt for it, and the seed of its noise."""

    square: Square
    text: str
    seed: int


def small_faces(
    backbone: Backbone, image: Image.Image, text: str, *, classes: Mapping[str, str], seed: int,
    regions: Mapping[str, Region] | None, largest: float,
) -> list[SmallFace]:  # fmt: skip
    """The small faces of a picture whose prompts are known, the surest first."""
    places, found = places_of(regions or {}, image.size), []
    for number, face in enumerate(detect_faces(image)):
        words = face_text(text, classes, places, _middle(face.box, image.size))
        if words is not None and face.box[3] - face.box[1] <= largest * backbone.image_size:
            found.append(SmallFace(inside(around(face.box), image.size), words, seed + number))
    return found


def face_text(
    text: str, classes: Mapping[str, str], places: Mapping[str, Place], middle: tuple[float, float]
) -> str | None:
    """The prompt for the face at this point (shares of the picture), of which everybody but its owner is left to the
    class word; None where it may be any of several people.

    Of several it is the one in whose place alone it lies. A prompt with one person in it, or nobody, is whole.
    """
    named = [name for name in names_in(text) if name in classes]
    if len(named) > 1:
        named = [name for name in named if name in places and meets(places[name], middle)]
        if len(named) != 1:
            return None

    def said(word: re.Match[str]) -> str:
        name = word[1].lower()
        return word[0] if name in named else classes.get(name, word[0])

    return PSEUDO_WORD.sub(said, text)


def _middle(box: Square, size: tuple[int, int]) -> tuple[float, float]:
    left, top, right, bottom = box
    return (left + right) / 2 / size[0], (top + bottom) / 2 / size[1]


def _redrawn(
    backbone: Backbone, cuts: Sequence[Image.Image], found: Sequence[SmallFace], tables: Mapping[str, TokenTable], *,
    classes: Mapping[str, str], settings: DrawSettings, strength: float,
) -> list[Image.Image]:  # fmt: skip
    """The cuts enlarged to the model's own side and drawn again from `strength` of the way to noise, but for what lies
    away from the faces.
    """
    pipe, side = image_to_image(backbone.pipeline), backbone.image_size
    enlarged = [small.resize((side, side), Image.Resampling.LANCZOS) for small in cuts]
    named = {name for face in found for name in names_in(face.text)}
    whole, made = {name: table for name, table in tables.items() if name in named}, []
    for part in batches(len(cuts), side):
        texts, seeds = [face.text for face in found[part]], [face.seed for face in found[part]]
        latents = backbone.encode_image(pipe.image_processor.preprocess(enlarged[part]), mean=True)
        new = torch.from_numpy(soft_mask(*latents.shape[2:])) == 1
        # Entered for each part: perturbed guidance counts steps from there.
        with drawing(backbone, whole, classes, settings, pipe=pipe) as people:
            made += redrawn(
                pipe, enlarged[part], prompt_arguments(people, texts, settings), strength=strength,
                steps=settings.steps, guidance=settings.guidance, seeds=seeds, after_step=holding(latents, new, seeds),
            )  # fmt: skip
    return made


def pasted(image: Image.Image, drawn: Image.Image, square: Square) -> Image.Image:
    """The picture with a square drawn anew in it, fading out towards the square's edges."""
    mask = Image.fromarray(np.uint8(np.round(soft_mask(drawn.height, drawn.width) * 255)))
    result = image.copy()
    result.paste(drawn, square[:2], mask)
    return result


def soft_mask(height: int, width: int) -> NDArray[np.float64]:
    """How much of a square is new: 1 in an ellipse of three quarters of its sides, 0 from its edges on, a cosine
    between, where what is held and the picture are the same but for the autoencoder.
    """
    y, x = ((np.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    radius = np.hypot(y[:, None], x[None])
    return (1 + np.cos(np.pi * np.clip(4 * radius - 3, 0, 1))) / 2
