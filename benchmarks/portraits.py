"""Photos unlike what the embedded model knows: what of a portrait is still seen in the pictures drawn after it.

    python benchmarks/portraits.py
    python benchmarks/portraits.py --first 6          # P006 to P010, for a final measurement

Portraits of the package openpeople, whose facts below were read by eye. Each is learned as it is, and from what the
model makes of it; as "a person", and by its own class word. The world's judge reads the pictures, dlib says which of
the portraits each is nearest to.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from full_size import Precision
from measuring import Dtype, Json, machine, write_json
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from onephoto.api import LearnRequest, generate, learn
from onephoto.backbone.load import Backbone
from onephoto.cli.compare import opened
from onephoto.cli.demo import SCENES, portrait
from onephoto.errors import OnephotoError
from onephoto.evaluate.plan import learning_settings
from onephoto.generate.refine import Faces
from onephoto.identity.faces import face_vector
from onephoto.identity.photo import read_photo
from onephoto.world.prompts import FACE_PROMPT

DARK = ("black", "dark brown")
PORTRAITS: dict[str, dict[str, Any]] = {
    "P001": {"sex": "woman", "hair_colour": DARK, "hair_length": ("short", "medium")},
    "P002": {"sex": "woman", "hair_colour": DARK, "hair_length": ("short", "medium")},
    "P003": {"sex": "woman", "hair_colour": ("dark brown", "brown", "chestnut"), "hair_length": ("long",)},
    "P004": {"sex": "woman", "hair_colour": DARK},
    "P005": {"sex": "man", "hair_colour": DARK, "hair_length": ("short",), "beard": ("yes",)},
    "P006": {"sex": "woman", "hair_colour": DARK},
    "P007": {"sex": "man", "hair_colour": DARK, "hair_length": ("medium",)},
    "P008": {"sex": "man", "hair_colour": ("dark blond", "blond", "brown", "chestnut"), "hair_length": ("long",)},
    "P009": {"sex": "woman", "hair_colour": DARK, "hair_length": ("long",)},
    "P010": {"sex": "woman", "hair_colour": DARK},
}
"""Values that are right; the length of tied hair is left out. Nobody wears anything, and beards are said."""
EACH, PROMPTS = 5, (*SCENES, FACE_PROMPT)
SHOWN = ("sex", "hair_colour", "hair_length", "beard", "bare")


def photo_of(name: str, size: int) -> Image.Image:
    """A portrait, cropped as photos are."""
    file = portrait()
    return read_photo(file.parents[2] / name / file.parent.name / file.name, size=size).image


def right(facts: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, bool]:
    """Which facts a reading has right, "bare" for nothing on head and face."""
    wanted = {"beard": ("no",)} | {name: (v,) if isinstance(v, str) else v for name, v in facts.items()}
    return {name: read.get(name) in values for name, values in wanted.items()} | {
        "bare": not {"glasses", "sunglasses", "cap"} & set(read["things"])
    }


def drawn(
    backbone: Backbone, photo: Image.Image, subject: str, settings: Mapping[str, Any], count: int
) -> list[Image.Image]:
    """Pictures of every prompt."""
    identity = learn(backbone, [photo], LearnRequest(name="v", subject=subject, settings=settings))
    return [
        image
        for prompt in PROMPTS
        for image in generate(backbone, prompt.format("<v>"), [identity], seeds=range(count), faces=Faces())
    ]


def row_of(
    pictures: Mapping[str, Sequence[Image.Image]], photos: Mapping[str, Image.Image],
    read: Callable[[Sequence[Image.Image]], Sequence[Mapping[str, Any]]],
) -> dict[str, float]:  # fmt: skip
    """Shares of pictures in which a fact is right, a face is found, and the own portrait is the nearest of all."""
    seen = [right(PORTRAITS[name], one) for name, own in pictures.items() for one in read(own)]
    row = {fact: float(np.mean([ok[fact] for ok in seen if fact in ok])) for fact in SHOWN}
    vectors = {name: face_vector(photo) for name, photo in photos.items()}
    found = [(name, face_vector(image)) for name, own in pictures.items() for image in own]
    nearest = [
        min(vectors, key=lambda other: np.linalg.norm(vector - vectors[other])) == name
        for name, vector in found
        if vector is not None
    ]
    return row | {"found": len(nearest) / len(found), "nearest": float(np.mean(nearest)) if nearest else 0.0}


def main(
    first: Annotated[int, typer.Option(min=1, max=6, help="Number of the first of five portraits.")] = 1,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of each of four prompts.")] = 2,
    model: Annotated[str, typer.Option(help="mini, or a folder of the same words.")] = "mini",
    dtype: Dtype = Precision.FLOAT32,
    json: Json = None,
) -> None:
    """Measure what of a portrait is seen in pictures drawn after it."""
    backbone, judges = opened(model, "cpu", dtype)
    names = list(PORTRAITS)[first - 1 : first - 1 + EACH]
    photos = {name: photo_of(name, backbone.image_size) for name in names}
    chosen = learning_settings(backbone.model_id)["sefi"]
    ways = [(redraws, own) for redraws in (0, chosen["redraws"]) for own in (False, True)]
    rows = []
    for redraws, own in track(ways, description="learning"):
        settings = chosen | {"redraws": redraws}
        subjects = {name: PORTRAITS[name]["sex"] if own else "person" for name in names}
        made = {name: drawn(backbone, photos[name], subjects[name], settings, pictures) for name in names}
        rows.append({"redraws": redraws, "own word": own, **row_of(made, photos, judges.facts.read)})
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)
    asked = {"model": backbone.model_id, "portraits": names, "pictures": pictures, "dtype": str(dtype)}
    write_json(json, {**asked, "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
