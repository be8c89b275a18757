"""A study as one page, its plot and its strip of pictures, made from the folder alone."""

from pathlib import Path

from PIL import Image

from onephoto.errors import SettingError
from onephoto.evaluate.blocks import (
    Column,
    attention_section,
    cell_rows,
    first_prompts,
    opened,
    pictures_of,
)
from onephoto.evaluate.metrics import bootstrap_interval
from onephoto.evaluate.plan import write_whole
from onephoto.evaluate.report import Results
from onephoto.evaluate.studies import Study
from onephoto.evaluate.words import DEFINITIONS, formatted
from onephoto.look import page as pieces
from onephoto.look.plots import Mark, sweep
from onephoto.look.sheet import contact_sheet

PAGE, PLOT, STRIP = "study.html", "study.png", "strip.png"
SHOWN_PROMPTS = 2


def write_study(asked: Study, results: Results) -> Path:
    """Write study.html, study.png and strip.png into the study's folder; gives the page's path.

    Raises SettingError for the folder of another study.
    """
    if results.record["fixed"]["study"] != asked.name:
        raise SettingError(f"{results.folder}: holds no study {asked.name}; choose the folder that it was made in")
    png = plot_of(asked, results)
    (results.folder / PLOT).write_bytes(png)
    strip_of(asked, results).save(results.folder / STRIP)
    path = results.folder / PAGE
    write_whole(path, _page(asked, results, png))
    return path


def plot_of(asked: Study, results: Results) -> bytes:
    """The measures of every variant, as lines over the study's steps; the best ID(P) is marked."""
    steps, lines = asked.plotted()
    series = {
        line or measure: [_mark(asked, results, called, field) for called in names]
        for line, names in lines.items()
        for field, measure in asked.measures.items()
    }
    best = None if asked.lines else list(asked.variants).index(asked.best(results))
    return sweep([step.removeprefix(f"{asked.axis} = ") for step in steps], series, label=asked.axis, best=best)


def _mark(asked: Study, results: Results, called: str, field: str) -> Mark:
    values = asked.by_person(results, called, field)
    return Mark(called, float(values.mean()), bootstrap_interval(values))


def strip_of(asked: Study, results: Results) -> Image.Image:
    """One prompt: people in rows; the photo, then every variant."""
    row = first_prompts(results, asked.set, 1)[0]
    rows = []
    for person in results.people:
        own = cell_rows(results, row, person)
        drawn = [opened(results.folder, variant, own[variant.name]) for variant in asked.variants.values()]
        size = next((image.size for image in drawn if image is not None), (128, 128))
        photo = results.sitters[person].photo.resize(size, Image.Resampling.LANCZOS)
        rows.append([photo, *(image or Image.new("RGB", size, "grey") for image in drawn)])
    return contact_sheet(rows, titles=["photo", *asked.variants], heading=row.prompt.replace("{}", "..."))


def _page(asked: Study, results: Results, png: bytes) -> str:
    columns, first = _columns(asked), results.rows[0]
    prompts = len({row.number for row in results.rows})
    lead = (
        f"{len(columns)} variants of SeFi-IDE, the same {len(results.people)} people, photos and seeds, and {prompts} "
        f"prompts of the set \u201c{asked.set}\u201d. The one in colour is the paper's choice."
    )
    grids = [pictures_of(results, row, columns) for row in first_prompts(results, asked.set, SHOWN_PROMPTS)]
    about = f"{', '.join(asked.measures.values())} by {asked.axis}; bands are 95% intervals over people."
    commands = "\n".join(results.record.get("commands", []))
    facts = f"{commands}\nmodel {first.model} (weights {first.weights})\ndrawing {first.drawing}\njudge {first.judge}"
    return pieces.page(
        f"onephoto: {asked.question}",
        pieces.heading(asked.question, lead),
        pieces.verdict([asked.sentence(asked, results)]),
        pieces.section("The numbers", pieces.side_by_side(pieces.plot(png, about), _table(asked, results))),
        pieces.section("The pictures", *grids),
        *attention_section(results, columns),
        pieces.section("How it is measured", pieces.definitions(DEFINITIONS), pieces.folded("To do it again", facts)),
        pieces.footer(results.record.get("date", "")),
    )


def _columns(asked: Study) -> list[Column]:
    return [Column(variant, called, _kind(asked, called)) for called, variant in asked.variants.items()]


def _kind(asked: Study, called: str) -> str:
    return "ours" if called == asked.reference else ""


def _table(asked: Study, results: Results) -> str:
    fields = ("id_p", "id", "told_apart", "second_id", "similarity", "passes", "detect")
    rows = [
        (_kind(asked, called), [called, *(formatted(asked.mean(results, called, field), ".3f") for field in fields)])
        for called in asked.variants
    ]
    header = ("variant", "ID(P)", "ID", "told apart", "second ID", "Prompt", "shown", "Detect")
    return pieces.table(header, rows)
