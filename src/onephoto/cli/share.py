"""Commands that give identities to others and fetch theirs: push, pull."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    file: Annotated[Path, typer.Argument(help="An identity file.")],
    target: Annotated[str, typer.Argument(help="A hub id like owner/name, or a folder like ./alice.")],
    with_photo: Annotated[
        Path | None, typer.Option(help="A photo to put beside it; without, no picture leaves this machine.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a hub repository.")] = False,
) -> None:
    """Put an identity with a model card on the Hugging Face hub, in a private repository, or into a folder."""
    from onephoto.identity.share import push as share

    typer.echo(f"{share(file, target, with_photo=with_photo, public=public)}: {file.name} and its card")


def pull(
    source: Annotated[str, typer.Argument(help="A hub id like owner/name, or a folder.")],
    out: Annotated[Path | None, typer.Option(help="File to write; NAME.safetensors unless given.")] = None,
) -> None:
    """Fetch an identity that onephoto push put there."""
    from onephoto.identity.share import pull as fetch

    typer.echo(fetch(source, out))
