"""The whole loop in one command: a photo, a learned person, three scenes, and where each word acted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onephoto.cli.each import learned
from onephoto.cli.people import Device, Model, Steps, faces_asked, loaded, quiet
from onephoto.errors import PhotoError

if TYPE_CHECKING:
    from PIL import Image

    from onephoto.generate.attend import Attended

SCENES = ("a photo of {} at the beach", "a photo of {} in the forest", "a photo of {} in front of a brick wall")
NAME, PORTRAYED = "somebody", "woman"
"""What the person is called, and the class word of the portrait."""
LARGE, WORDS = 384, 12
"""Side in pixels of the pictures at the top, and word maps in a row, a third of that side each."""


def demo(
    photo: Annotated[Path | None, typer.Option(help="A photo of your own; a synthetic portrait unless given.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Class word; person, and of the portrait woman, unless given.")
    ] = None,
    model: Model = "mini",
    learning_steps: Annotated[int | None, typer.Option(help="Updates; as chosen for the model unless given.")] = None,
    steps: Steps = 25,
    crop: Annotated[bool, typer.Option(help="Find and crop the face.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the picture.")] = Path("out"),
    device: Device = "auto",
) -> None:
    """Learn a person from one photo, draw them in three scenes, and show where every word acted."""
    quiet()
    from dataclasses import asdict

    from rich.console import Console

    from onephoto import api
    from onephoto.evaluate.plan import learning_settings, with_asked
    from onephoto.generate.draw import DrawSettings, is_perturbed
    from onephoto.generate.save import save_picture
    from onephoto.identity.photo import read_photo

    backbone = loaded(model, device, "float32")
    source = photo or portrait()
    called = subject or ("person" if photo else PORTRAYED)
    square = read_photo(source, size=max(LARGE, backbone.image_size), crop=crop, subject=called)
    chosen = learning_settings(backbone.model_id).get("sefi", {})
    steps_given = {} if learning_steps is None else {"steps": learning_steps}
    request = api.LearnRequest(name=NAME, subject=called, settings=with_asked(chosen, steps_given))
    with Console(stderr=True).status("getting ready"):
        learning = api.Learning(backbone, [square.image], request)
    identity = learned(learning)
    settings = DrawSettings(steps=steps)
    # What has no face that is found needs none redrawn, and no detector.
    faces = faces_asked(None if crop else False, backbone, [called])
    texts = [scene.format(f"<{NAME}>") for scene in SCENES]
    seen = [api.look(backbone, text, [identity], settings=settings, faces=faces) for text in texts]
    out.mkdir(parents=True, exist_ok=True)
    facts = {
        "prompt": "demo", "seed": 0, "model": backbone.model_id, "scenes": SCENES, "steps": steps, "subject": called,
        "learned": identity.metadata["settings"], "strange_photos": learning.strange_photos,
        "refined_faces": asdict(faces) if faces else None, "perturbed": is_perturbed(backbone, settings),
    }  # fmt: skip
    typer.echo(save_picture(out, _sheet(square.image, seen), facts))


def portrait() -> Path:
    """The demo's photo: the first portrait of the package openpeople (synthetic people, MIT)."""
    from importlib.util import find_spec

    spec = find_spec("openpeople")
    if spec is None or spec.origin is None:
        raise PhotoError("the demo's portrait is not here (pip install openpeople); or name a photo with --photo")
    return Path(spec.origin).parent / "data" / "curated" / "P001" / "assets" / "studio_portrait.jpg"


def _sheet(photo: "Image.Image", seen: "list[Attended]") -> "Image.Image":
    """The photo and the three pictures above, a row of word maps for each scene below."""
    from PIL.Image import Resampling

    from onephoto.look.heatmap import word_strip
    from onephoto.look.sheet import contact_sheet, stacked

    side = LARGE if photo.width < LARGE else photo.width
    pictures = [image.resize((side, side), Resampling.LANCZOS) for image in (photo, *(one.image for one in seen))]
    top = contact_sheet([pictures], titles=["the photo", *(scene.format(NAME) for scene in SCENES)])
    strips = [
        word_strip(one.image, [w.text for w in one.words], one.maps.numpy(), widest=WORDS, smallest=side // 3)
        for one in seen
    ]
    return stacked([top, *strips])
