"""Writes the README's pictures, docs/demo.webp and docs/likeness.webp: python scripts/make_pictures.py

Small faces are drawn again, as by --refine-faces; nothing else is chosen or mended.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from onephoto import api
from onephoto.backbone.load import load_backbone
from onephoto.cli.demo import demo
from onephoto.evaluate.people import DEVELOPMENT, sitter
from onephoto.evaluate.plan import learning_settings
from onephoto.generate.refine import Faces
from onephoto.look.sheet import contact_sheet

DOCS = Path(__file__).resolve().parents[1] / "docs"
PROMPTS = (
    "a photo of the face of <v>", "a photo of <v> at the beach", "a photo of <v> in the forest, smiling",
    "a photo of <v> with red hair in front of a brick wall",
)  # fmt: skip
PEOPLE, SEEDS = range(DEVELOPMENT, DEVELOPMENT + 4), (0, 1)
QUALITY = 85


def likeness() -> Image.Image:
    """Each person's one photo at the left, and two pictures of each prompt."""
    backbone = load_backbone("mini")
    rows = []
    for seed in PEOPLE:
        photo = sitter(seed).photo
        request = api.LearnRequest(name="v", settings=learning_settings(backbone.model_id)["sefi"])
        identity = api.learn(backbone, [photo], request)
        small = photo.resize((backbone.image_size, backbone.image_size), Image.Resampling.LANCZOS)
        drawn = [
            image
            for prompt in PROMPTS
            for image in api.generate(backbone, prompt, [identity], seeds=SEEDS, faces=Faces())
        ]
        rows.append([small, *drawn])
    titles = [title for prompt in PROMPTS for title in (prompt.removeprefix("a photo of "), "")]
    return contact_sheet(rows, titles=["the photo", *titles])


def main() -> None:
    """Both pictures."""
    with TemporaryDirectory() as folder:
        demo(out=Path(folder), device="cpu")
        (sheet,) = Path(folder).glob("*.png")
        with Image.open(sheet) as image:
            image.convert("RGB").save(DOCS / "demo.webp", quality=QUALITY)
    likeness().save(DOCS / "likeness.webp", quality=QUALITY)


if __name__ == "__main__":
    main()
