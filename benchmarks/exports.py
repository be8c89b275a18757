"""What each export format loses: ID and Prompt of the full file and of what other programs read, on the same prompts.

    python benchmarks/exports.py out/exports                                    # on 4 development people of the world
    python benchmarks/exports.py out/exports --people 1 --steps 5 --prompts 1 --sampling 4       # only to see it run

Each person is learned from one photo, exported to every program with the model asked for the nearest embedding, and
read back from the file that was written. The numbers go to exports.json in the folder, and a table to the terminal.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from onephoto import api, exchange
from onephoto.backbone.load import Backbone, load_backbone
from onephoto.comparison import weights_digest
from onephoto.errors import OnephotoError
from onephoto.evaluate.downgrade import Loss
from onephoto.evaluate.judge import load_judge
from onephoto.evaluate.people import DEVELOPMENT, Sitter, sitter
from onephoto.evaluate.plan import learning_settings, with_asked
from onephoto.evaluate.prompt_sets import USUAL, WORLD, prompts_of
from onephoto.generate.draw import DrawSettings
from onephoto.identity.embeddings import PROGRAMS


@dataclass(frozen=True)
class Measured:
    """One person in one program: the way the embedding was made, how far predictions move, and what it costs."""

    person: int
    program: str
    way: str
    moved: float
    loss: Loss


def measured(
    backbone: Backbone, one: Sitter, folder: Path, *, method: str, steps: int | None, texts: Sequence[str],
    settings: DrawSettings, judge: Any,
) -> Iterator[Measured]:  # fmt: skip
    """Every program's loss for one person; the same embedding in several files is drawn once."""
    seed, asked = one.person.seed, {} if steps is None else {"steps": steps}
    chosen = with_asked(learning_settings(backbone.model_id).get(method, {}), asked)
    request = api.LearnRequest(name="sitter", method=method, settings=chosen)
    identity = api.learn(backbone, [one.photo], request)
    known: dict[tuple[bytes, ...], Loss] = {}
    for program in PROGRAMS:
        path = folder / f"{seed}-{program}.safetensors"
        made = exchange.export(identity, path, to=program, model=backbone)
        plain = exchange.import_embedding(path, "sitter", backbone)
        numbers = tuple(plain.tensors[name].numpy().tobytes() for name in sorted(plain.tensors))
        if numbers not in known:
            known[numbers] = exchange.measured_loss(
                backbone, identity, made, photo_vector=one.photo_vector, judge=judge, texts=texts, settings=settings,
                plain=plain,
            )  # fmt: skip
        yield Measured(seed, program, made.way, made.moved.get(made.way, 0.0), known[numbers])


def texts_of(prompts: int) -> list[str]:
    """The first prompts of each usual set that name one person."""
    single = [[one.text for one in prompts_of(WORLD, name) if one.text.count("{") == 1] for name in USUAL]
    return [text for texts in single for text in texts[:prompts]]


def table(rows: Sequence[Measured]) -> str:
    """Means by program."""
    lines = ["program          ID full  ID export  Prompt full  Prompt export  predictions move"]
    for program in PROGRAMS:
        own = [row for row in rows if row.program == program]
        means = [fmean(getattr(row.loss, name) for row in own) for name in asdict(own[0].loss)]
        moved = fmean(row.moved for row in own)
        lines.append(f"{program:<15}{means[0]:>9.3f}{means[1]:>11.3f}{means[2]:>13.3f}{means[3]:>15.3f}{moved:>18.0%}")
    return "\n".join(lines)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the exports and exports.json.")],
    people: Annotated[int, typer.Option(help="How many people.")] = 4,
    first: Annotated[int, typer.Option(help="Seed of the first: 90000 for choices, 100000 to measure.")] = DEVELOPMENT,
    prompts: Annotated[int, typer.Option(help="Prompts of each set.")] = 3,
    method: Annotated[str, typer.Option(help="How people are learned.")] = "sefi",
    steps: Annotated[int | None, typer.Option(help="Updates; what is chosen for the model unless given.")] = None,
    sampling: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    model: Annotated[str, typer.Option(help="mini, mini-xl, a folder, a checkpoint or a hub id.")] = "mini",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Measure every export format against the full file."""
    backbone, judge = load_backbone(model, device=device), load_judge()
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        row
        for seed in range(first, first + people)
        for row in measured(
            backbone, sitter(seed), out, method=method, steps=steps, texts=texts_of(prompts),
            settings=DrawSettings(steps=sampling), judge=judge,
        )
    ]  # fmt: skip
    facts = {
        "date": f"{date.today()}", "model": model, "weights": weights_digest(backbone), "method": method,
        "steps": steps, "sampling": sampling, "prompts": texts_of(prompts), "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    (out / "exports.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    try:
        typer.run(main)
    except OnephotoError as error:
        raise SystemExit(str(error)) from error
