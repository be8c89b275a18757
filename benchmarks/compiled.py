"""A learned person in a pipeline compiled by torch.compile's own backend: the same picture, and after which time.

    python benchmarks/compiled.py                                       # the embedded model, a random person
    python benchmarks/compiled.py --identity alice.safetensors --steps 4
    python benchmarks/compiled.py --device cuda --model path/to/sd15 --identity alice.safetensors

On the CPU the backend needs a C++ compiler. Pictures are compared in steps of 1/255.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

import onephoto
from onephoto import api
from onephoto.backbone.load import Backbone, load_backbone
from onephoto.errors import OnephotoError
from onephoto.generate.draw import DrawSettings, call_arguments
from onephoto.identity.file import IdentityFile, load

PROMPT = "a photo of {} at the beach"


def somebody(backbone: Backbone) -> IdentityFile:
    """A person one step away from the class word: enough to see whether the compiled code reads K and V apart."""
    noise = torch.Generator().manual_seed(0)
    tensors = {
        f"tokens.{encoder}": rows.mean(0) + rows.std() * torch.randn(5, 2, rows.shape[1], generator=noise)
        for encoder, rows in backbone.class_vectors("person").items()
    }
    base = {"model_id": backbone.model_id, "fingerprint": api.fingerprint(backbone)}
    return IdentityFile("alice", "person", "sefi", tensors, {"base": base})


def drawn(backbone: Backbone, person: IdentityFile, settings: DrawSettings) -> Iterator[tuple[NDArray, float]]:
    """The person twice, as numbers in steps of 1/255, with the seconds of each; compiling falls into the first."""
    with onephoto.use(backbone.pipeline, **{person.name: person}) as people:
        prompt = people.prompt(PROMPT.format(f"<{person.name}>"))
        for _ in range(2):
            start = time.perf_counter()
            call = call_arguments(backbone, settings, [0])
            image = backbone.pipeline(**prompt, **call, output_type="np").images[0]
            yield 255 * image, time.perf_counter() - start


def main(
    model: Annotated[str, typer.Option(help="mini, mini-xl, a folder, a checkpoint or a hub id.")] = "mini",
    identity: Annotated[Path | None, typer.Option(help="A learned person; a random one unless given.")] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Draw one person with the U-Net compiled and not, and say how far the pictures are apart."""
    backbone = load_backbone(model, device=device)
    person = load(identity) if identity else somebody(backbone)
    settings = DrawSettings(steps=steps)
    *_, (plain, plain_seconds) = drawn(backbone, person, settings)
    backbone.unet.compile()
    (first, first_seconds), (again, seconds) = drawn(backbone, person, settings)
    apart = np.abs(first - plain)
    print(f"compiled and not: {apart.max():.3f} of 255 apart at most, {apart.mean():.4f} in the mean")
    print(f"seconds: {plain_seconds:.1f} as it is, {first_seconds:.1f} with compiling, {seconds:.1f} compiled")
    if max(apart.max(), np.abs(again - first).max()) >= 1:
        raise SystemExit("not the same picture")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
