"""Commands on people: learn, generate, look, inspect. Heavy imports wait until a command runs."""

import json
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onephoto.cli.each import finish, learn_each, prepared
from onephoto.cli.places import checked, opened, photos_of, plain, regions_of, strengths_of
from onephoto.cli.sittings import one_sitting, sittings_of_each
from onephoto.errors import SettingError
from onephoto.methods import get_method, method_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onephoto.backbone.load import Backbone
    from onephoto.generate.draw import DrawSettings
    from onephoto.generate.refine import Faces
    from onephoto.identity.file import IdentityFile

Model = Annotated[str, typer.Option(help="mini, mini-xl, a folder, a .safetensors checkpoint, or a hub id.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps (never tried), or auto: cuda where there is one, else cpu.")]
Precision = Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where it is fast.")]
Identities = Annotated[list[Path] | None, typer.Option("--identity", "-i", help="Identity file; may be repeated.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
Guidance = Annotated[float, typer.Option(help="Guidance scale.")]
Sampler = Annotated[str | None, typer.Option(help="Sampler, as diffusers spells it or ddim, euler, dpm++, unipc...")]
Refined = Annotated[
    bool | None, typer.Option(help="Draw small faces again, enlarged; on mini and mini-xl unless told otherwise.")
]
Perturbed = Annotated[
    bool | None,
    typer.Option(
        "--perturb/--no-perturb",
        help="Guide away from what is drawn without self-attention, too; on mini and mini-xl unless told otherwise.",
    ),
]
Negative = Annotated[str, typer.Option("--negative", help="What the picture shall not show.")]


def learn(
    photos: Annotated[list[Path], typer.Argument(help="One photo of the person, or several of the same one.")],
    name: Annotated[str | None, typer.Option(help="The name that prompts will use, as in <alice>.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Each photo is another person, named after its file; --out is a folder.")
    ] = False,
    together: Annotated[
        int | None, typer.Option(min=1, help="People in one batch with --each; 8 on embedded models, else 1.")
    ] = None,
    model: Model = "mini",
    subject: Annotated[str, typer.Option(help="Class word: person, dog, car...")] = "person",
    method: Annotated[str, typer.Option(help=f"One of {', '.join(method_names())}.")] = "sefi",
    preset: Annotated[
        str, typer.Option(help="Settings that go together: default, as chosen for the model, or of sefi paper, fast.")
    ] = "default",
    out: Annotated[Path | None, typer.Option(help="Identity file to write; NAME.safetensors unless given.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="AdamW's rate.")] = None,
    attention_weight: Annotated[float | None, typer.Option(help="Lambda of the attention loss (sefi).")] = None,
    num_stages: Annotated[int | None, typer.Option(help="Pairs of K and V tokens (sefi).")] = None,
    early_stop: Annotated[
        int | None, typer.Option(min=0, help="Looks at held-out noise without a gain that end it; 0: all steps (sefi).")
    ] = None,
    redraws: Annotated[
        int | None,
        typer.Option(
            min=0, help="Pictures that the model makes of a photo, to learn from instead; on mini of real photos."
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Begin at another program's embedding (sefi, textual-inversion).")
    ] = None,
    seed: int = 0,
    size: Annotated[int | None, typer.Option(help="Side in pixels to learn at; the model's own unless given.")] = None,
    box: Annotated[str | None, typer.Option(help="The face, as left,top,right,bottom in pixels.")] = None,
    crop: Annotated[bool, typer.Option(help="Find and crop the face.")] = True,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint of this run.")] = False,
    consent: Annotated[str, typer.Option(help="A note on the person's consent, kept in the file.")] = "",
    thumbnail: Annotated[
        bool, typer.Option("--thumbnail", help="Keep a picture of 64 pixels a side in the file.")
    ] = False,
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Learn one person from one photo into one small file; with --each, one person from each photo."""
    quiet()
    from onephoto.api import LearnRequest
    from onephoto.evaluate.plan import preset_settings, with_asked
    from onephoto.together import Together

    if each and (name is not None or box is not None):
        raise SettingError("--each takes names from the files and finds each face; leave --name and --box out")
    sittings = sittings_of_each(photos, out or Path()) if each else [one_sitting(photos, name, out)]
    given = {
        "steps": steps, "learning_rate": learning_rate, "attention_weight": attention_weight, "num_stages": num_stages,
        "start": None if start is None else str(start), "early_stop": early_stop,
        "redraws": redraws,
    }  # fmt: skip
    chosen = preset_settings(model, get_method(method), preset)
    settings = with_asked(chosen, {key: value for key, value in given.items() if value is not None})
    requests = [
        LearnRequest(
            name=sitting.name, subject=subject, method=method, settings=settings, seed=seed, consent=consent, size=size,
            thumbnail=thumbnail,
        )
        for sitting in sittings
    ]  # fmt: skip
    backbone, marked = loaded(model, device, dtype), _box(box)
    tasks = list(zip(sittings, requests, strict=True))
    if not each:
        finish(Together([prepared(backbone, *tasks[0], box=marked, crop=crop, resume=resume)]), sittings)
        return
    failed = learn_each(backbone, tasks, crop=crop, resume=resume, together=together)
    if failed:
        typer.echo("\n".join(f"onephoto: {error}" for error in failed), err=True)
        raise typer.Exit(2)


def generate(
    prompt: Annotated[str, typer.Argument(help='What to draw, as in "a photo of <alice> at the beach".')],
    identity: Identities = None,
    model: Model = "mini",
    strength: Annotated[list[str] | None, typer.Option(help="NAME=0.8; 0 is the class word, 1 the person.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Pictures.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first picture; the next ones count up.")] = 0,
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    sampler: Sampler = None,
    negative: Negative = "",
    size: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=left,top,right,bottom, in shares or pixels, or NAME=MASK.png: where that person may be."
        ),
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="NAME=PHOTO: say whether that person is there, missing, blended, swapped.")
    ] = None,
    refine_faces: Refined = None,
    perturb: Perturbed = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out"),
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Draw learned people in any scene."""
    quiet()
    from dataclasses import asdict

    from onephoto import api
    from onephoto.generate.draw import DrawSettings
    from onephoto.generate.save import save_picture
    from onephoto.look.sheet import contact_sheet

    settings = DrawSettings(
        steps=steps, guidance=guidance, sampler=sampler, size=size, negative_prompt=negative, perturbed=perturb
    )
    strengths, given, photos = strengths_of(strength), regions_of(region), photos_of(check)
    regions = opened(given)
    people = _identities(identity)
    backbone = loaded(model, device, dtype)
    seeds = range(seed, seed + count)
    faces = faces_asked(refine_faces, backbone, [identity.subject for identity in people])
    with _plain_warnings():
        images = api.generate(
            backbone, prompt, people, seeds=seeds, settings=settings, strengths=strengths, regions=regions, faces=faces
        )
    out.mkdir(parents=True, exist_ok=True)
    facts = _facts(prompt, backbone, people, settings) | {"strengths": strengths, "regions": plain(given)}
    facts |= {"refined_faces": asdict(faces)} if faces else {}
    for number, image in zip(seeds, images, strict=True):
        found = [str(finding) for finding in checked(image, photos, regions)]
        path = save_picture(out, image, facts | {"seed": number} | ({"check": found} if found else {}))
        typer.echo(": ".join([str(path), *([", ".join(found)] if found else [])]))
    if count > 1:
        sheet = contact_sheet([images], titles=[f"seed {number}" for number in seeds])
        typer.echo(save_picture(out, sheet, facts | {"prompt": f"sheet {prompt}", "seed": seed}))


def look(
    prompt: Annotated[str, typer.Argument(help='What to draw, as in "<alice> holding a red ball".')],
    identity: Identities = None,
    model: Model = "mini",
    seed: int = 0,
    steps: Steps = 25,
    guidance: Guidance = 5.0,
    sampler: Sampler = None,
    negative: Negative = "",
    refine_faces: Refined = None,
    perturb: Perturbed = None,
    out: Annotated[Path, typer.Option(help="Folder for the picture.")] = Path("out"),
    device: Device = "auto",
    dtype: Precision = "float32",
) -> None:
    """Draw one picture and a heat map of every word of its prompt."""
    quiet()
    from dataclasses import asdict

    from onephoto import api
    from onephoto.generate.draw import DrawSettings
    from onephoto.generate.save import save_picture
    from onephoto.look.heatmap import word_strip

    settings = DrawSettings(
        steps=steps, guidance=guidance, sampler=sampler, negative_prompt=negative, perturbed=perturb
    )
    people, backbone = _identities(identity), loaded(model, device, dtype)
    faces = faces_asked(refine_faces, backbone, [identity.subject for identity in people])
    with _plain_warnings():
        seen = api.look(backbone, prompt, people, seed=seed, settings=settings, faces=faces)
    strip = word_strip(seen.image, [word.text for word in seen.words], seen.maps.numpy())
    out.mkdir(parents=True, exist_ok=True)
    facts = _facts(prompt, backbone, people, settings) | {"prompt": f"look {prompt}", "seed": seed}
    facts |= {"refined_faces": asdict(faces)} if faces else {}
    typer.echo(save_picture(out, strip, facts))


def inspect(file: Annotated[Path, typer.Argument(help="An identity file, or a picture made by onephoto.")]) -> None:
    """Show what an identity file or a picture says of itself."""
    from onephoto.generate.save import read_settings
    from onephoto.identity.file import load
    from onephoto.identity.thumbnail import thumbnail_image

    if file.suffix.lower() == ".png":
        typer.echo(json.dumps(read_settings(file), indent=2, ensure_ascii=False))
        return
    identity = load(file)
    weights = {name: tensor for name, tensor in identity.tensors.items() if name.startswith("unet.")}
    typer.echo(f"<{identity.name}>, a {identity.subject}, learned by {identity.method}; {file.stat().st_size} bytes")
    for name, tensor in identity.tensors.items():
        if name not in weights:
            typer.echo(f"  {name} {tuple(tensor.shape)}")
    if weights:
        typer.echo(f"  unet.* {len(weights)} tensors, {sum(tensor.numel() for tensor in weights.values())} numbers")
    thumbnail = identity.metadata.get("thumbnail")
    sides = thumbnail_image(thumbnail).size if thumbnail else ()
    typer.echo(f"  thumbnail {' x '.join(map(str, sides)) or 'none'}")
    shown = {key: value for key, value in identity.metadata.items() if key not in ("thumbnail", "base")}
    base = identity.metadata.get("base", {}).get("model_id", "unknown")
    typer.echo(json.dumps({"base": base, **shown}, indent=2, ensure_ascii=False, default=str))


def loaded(model: str, device: str, dtype: str) -> "Backbone":
    """The model of the options, quietly loaded."""
    import torch

    quiet()
    from onephoto.backbone.load import fast_dtype, load_backbone
    from onephoto.backbone.memory import keep_freed_memory

    device = present(device)
    if device == "cpu":
        keep_freed_memory()
    precisions = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype != "auto" and dtype not in precisions:
        raise SettingError(f"--dtype {dtype} is not one of {', '.join(precisions)}, auto")
    return load_backbone(model, device=device, dtype=precisions.get(dtype) or fast_dtype(device))


def present(device: str) -> str:
    """The device that an option means; raises SettingError for one that is not here."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return "cuda" if there["cuda"] else "cpu"
    kind = device.partition(":")[0]
    if kind not in there:
        raise SettingError(f"--device {device} is not one of {', '.join(there)}, auto")
    ordinal = device.removeprefix(kind).removeprefix(":")
    counted = not ordinal or (ordinal.isdigit() and (kind != "cuda" or int(ordinal) < torch.cuda.device_count()))
    if not there[kind] or not counted:
        raise SettingError(f"--device {device}: torch sees no such device here; use --device cpu")
    return device


def quiet() -> None:
    """No bars and advice from the libraries below: they would bury the one line that an error is."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    import diffusers

    diffusers.utils.logging.disable_progress_bar()
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    # diffusers 0.42 still hands it to the hub's client.
    warnings.filterwarnings("ignore", message="The `local_dir_use_symlinks` argument")


def _identities(files: list[Path] | None) -> "list[IdentityFile]":
    from onephoto.identity.file import load

    return [load(file) for file in files or []]


def faces_asked(asked: bool | None, backbone: "Backbone", subjects: "Iterable[str]" = ()) -> "Faces | None":
    """Whether small faces are drawn again, and how: on the embedded models, for people, unless told otherwise."""
    from onephoto.backbone.load import EMBEDDED
    from onephoto.generate.refine import Faces
    from onephoto.identity.subjects import is_person

    drawn = list(subjects) or ["person"]
    by_itself = backbone.model_id in EMBEDDED and any(is_person(subject) for subject in drawn)
    return Faces() if (by_itself if asked is None else asked) else None


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"--box {text}: give four whole numbers, left,top,right,bottom") from error
    return left, top, right, bottom


def _facts(
    prompt: str, backbone: "Backbone", people: "list[IdentityFile]", settings: "DrawSettings"
) -> dict[str, object]:
    """What a picture's settings say, beside its seed."""
    from dataclasses import asdict

    from onephoto.api import versions
    from onephoto.generate.draw import as_drawn

    names = [identity.name for identity in people]
    facts = {"prompt": prompt, "model": backbone.model_id, "identities": names, "versions": versions()}
    return {**facts, **asdict(as_drawn(backbone, settings))}


@contextmanager
def _plain_warnings() -> "Iterator[None]":
    """Warnings as plain lines, without the line of code that gave them."""
    before = warnings.showwarning
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"onephoto: {message}", err=True)
    try:
        yield
    finally:
        warnings.showwarning = before
