"""Who is who: whether people, learned from one photo each, are told apart by the faces drawn of them.

    python benchmarks/who_is_who.py
    python benchmarks/who_is_who.py --set focus_power=0 --set max_norm=1.5 --set steps=115

Development people of the world. Each is learned and drawn some times by "a photo of the face of V*"; these faces are
compared with four renders of the same person and of all others, by dlib's network and by the world's face judge.
"""

from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError, loads
from typing import Annotated, Any

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
from onephoto.errors import OnephotoError, SettingError
from onephoto.evaluate.embedded import rendered_faces, told_apart, vectors_of
from onephoto.evaluate.people import DEVELOPMENT, sitter
from onephoto.evaluate.plan import learning_settings, with_asked
from onephoto.generate.draw import DrawSettings
from onephoto.identity.faces import face_vector
from onephoto.world.prompts import FACE_PROMPT

RENDERS = 4


def settings_of(backbone: Backbone, method: str, changed: Sequence[str]) -> dict[str, Any]:
    """The method's settings for the model with changes "name=value", values in JSON; raises SettingError for others."""
    asked = {}
    for change in changed:
        name, _, value = change.partition("=")
        try:
            asked[name] = loads(value)
        except JSONDecodeError as error:
            raise SettingError(f"--set {change}: give name=value, the value as JSON writes it") from error
    return with_asked(learning_settings(backbone.model_id).get(method, {}), asked)


def faces_of(
    backbone: Backbone, seed: int, pictures: int, method: str, settings: Mapping[str, Any]
) -> list[Image.Image]:
    """Somebody's drawn faces, learned from the photo that the comparison learns from."""
    identity = learn(backbone, [sitter(seed).photo], LearnRequest(name="v", method=method, settings=settings))
    return generate(backbone, FACE_PROMPT.format("<v>"), [identity], seeds=range(pictures), settings=DrawSettings())


def row_of(
    name: str, seen: Callable[[Image.Image], Any], drawn: Sequence[Sequence[Image.Image]],
    rendered: Sequence[Sequence[Image.Image]],
) -> dict[str, Any]:  # fmt: skip
    """What one judge says."""
    vectors, own = ([vectors_of(images, seen) for images in people] for people in (drawn, rendered))
    distance, auc = told_apart(vectors, own)
    found = sum(map(len, vectors)) / sum(map(len, drawn))
    return {"judge": name, "distance": distance, "auc": auc, "found": found}


def main(
    people: Annotated[int, typer.Option(min=2, help="How many people.")] = 8,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 3,
    method: Annotated[str, typer.Option(help="The method that learns.")] = "sefi",
    changed: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method, as name=JSON; may be repeated.")
    ] = None,
    model: Annotated[str, typer.Option(help="mini, or a folder of the same words.")] = "mini",
    dtype: Dtype = Precision.FLOAT32,
    json: Json = None,
) -> None:
    """Measure how well learned people are told apart."""
    backbone, judges = opened(model, "cpu", dtype)
    settings = settings_of(backbone, method, changed or [])
    seeds = range(DEVELOPMENT, DEVELOPMENT + people)
    drawn = [
        faces_of(backbone, seed, pictures, method=method, settings=settings)
        for seed in track(seeds, description="learning")
    ]
    rendered = [rendered_faces(seed, RENDERS) for seed in seeds]
    rows = [row_of("dlib", face_vector, drawn, rendered)]
    if judges.faces is not None:
        rows.append(row_of("face judge", judges.faces.face_vector, drawn, rendered))
    table = Table("judge", "AUC", "distance against rendered", "faces found")
    for row in rows:
        table.add_row(row["judge"], f"{row['auc']:.3f}", f"{row['distance']:.2f}", f"{row['found']:.2f}")
    Console().print(table)
    asked = {"model": backbone.model_id, "method": method, "settings": settings, "dtype": str(dtype)}
    write_json(json, {**asked, "people": people, "pictures": pictures, "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
