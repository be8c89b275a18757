"""Commands to and from other programs: export, import."""

from pathlib import Path
from typing import Annotated

import typer

from onephoto.cli.people import Device, Model, loaded, quiet


def export(
    file: Annotated[Path, typer.Argument(help="An identity file.")],
    to: Annotated[str, typer.Option(help="diffusers, automatic1111 or comfyui.")],
    out: Annotated[Path, typer.Option(help="File to write; its name is the word in AUTOMATIC1111 and ComfyUI.")],
    model: Annotated[str | None, typer.Option(help="Ask this model which embedding is nearest to the person.")] = None,
    photo: Annotated[
        Path | None, typer.Option(help="Measure the loss in ID and Prompt against this photo; needs --model.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write a learned person as an ordinary embedding that other programs load, and say what is lost."""
    quiet()
    from onephoto import exchange
    from onephoto.errors import SettingError
    from onephoto.identity.file import load

    if photo is not None and model is None:
        raise SettingError("--photo needs a model to draw with; add --model")
    backbone = None if model is None else loaded(model, device, "float32")
    identity = load(file)
    made = exchange.export(identity, out, to=to, model=backbone)
    typer.echo(f"{out}: <{identity.name}> for {to}, {made.message}")
    if photo is not None:
        from onephoto.evaluate.judge import load_judge
        from onephoto.evaluate.prompt_sets import USUAL, WORLD, prompts_of
        from onephoto.evaluate.who import photo_vector

        texts = [prompts_of(WORLD, name)[0].text for name in USUAL]
        measured = exchange.measured_loss(
            backbone, identity, made, photo_vector=photo_vector(photo), judge=load_judge(),
            texts=[text for text in texts if text.count("{") == 1],
        )  # fmt: skip
        typer.echo(str(measured))


def import_(
    file: Annotated[Path, typer.Argument(help="A textual-inversion file (.safetensors).")],
    name: Annotated[str, typer.Option(help="The name that prompts will use, as in <alice>.")],
    model: Model = "mini",
    subject: Annotated[str, typer.Option(help="Class word: person, dog, car...")] = "person",
    out: Annotated[Path | None, typer.Option(help="Identity file to write; NAME.safetensors unless given.")] = None,
    device: Device = "auto",
) -> None:
    """Take an embedding of another program in as an identity of this model."""
    quiet()
    from onephoto import exchange
    from onephoto.identity.file import save

    target = out or Path(f"{name.lower()}.safetensors")
    save(target, exchange.import_embedding(file, name, loaded(model, device, "float32"), subject=subject))
    typer.echo(f"{target}: <{name.lower()}> taken in; onephoto learn --start {file} learns on from it")
