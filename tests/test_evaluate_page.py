import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_evaluate import PLAN, Studio, rows_of
from typer.testing import CliRunner

from onephoto.cli import app
from onephoto.cli.compare import _show
from onephoto.errors import SettingError
from onephoto.evaluate.compare_page import plots_of, write_page
from onephoto.evaluate.people import Sitter, sitter
from onephoto.evaluate.plan import BASE
from onephoto.evaluate.report import Lead, gather
from onephoto.evaluate.words import TITLES, lead_sentence, verdict_of
from onephoto.look.page import Cell, grid, table
from onephoto.look.plots import Mark, bars, ranking, scatter, sweep
from onephoto.methods import method_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sitters: dict[int, Sitter] = {seed: sitter(seed) for seed in PLAN.people}
    path = tmp_path_factory.mktemp("compared")
    rows_of(path, Studio(sitters))
    for name in (BASE, "sefi"):
        (path / "attention").mkdir(exist_ok=True)
        image = np.asarray(sitters[90_000].photo)
        np.savez(path / "attention" / f"{name}-90000.npz", image=image, map=np.ones((8, 8), np.float32))
    return path


def test_the_page_needs_nothing_but_itself(folder: Path) -> None:
    html = write_page(gather(folder)).read_text()
    assert "http" not in html and "<script" not in html and "url(" not in html
    sources = re.findall(r'src="([^"]{0,40})', html)
    # Two people; the photo and three variants in four grids and, of one person, three cells of attention; seven plots.
    assert len(sources) == 2 * 4 * 4 + 3 + 7 and all(source.startswith("data:image/") for source in sources)
    assert 'name="viewport"' in html


def test_the_table_stands_beside_the_page_as_markdown(folder: Path) -> None:
    results = gather(folder)
    write_page(results)
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert {len(row) for row in cells} == {14} and len(cells) == 2 + 3 + 2
    assert cells[2][0] == "| SeFi-IDE (ours)" and "SeFi-IDE (ours) is first in ID(P)" in lines[-1]


def test_the_page_is_made_again_from_the_folder_alone(folder: Path) -> None:
    before = write_page(gather(folder)).read_bytes()
    plots = {path.name: path.read_bytes() for path in (folder / "plots").glob("*.png")}
    assert {"ranking.png", "scatter.png", "set-scene.png", "set-two-people.png", "seconds.png", "bytes.png"} <= set(
        plots
    )
    (folder / "report.html").unlink()
    result = CliRunner().invoke(app, ["compare", str(folder), "--report-only"], catch_exceptions=False)
    assert result.exit_code == 0 and "report.html" in result.output.replace("\n", "")
    assert (folder / "report.html").read_bytes() == before
    assert {path.name: path.read_bytes() for path in (folder / "plots").glob("*.png")} == plots
    assert (folder / "rows.csv").exists() and (folder / "costs.csv").exists()


def test_the_page_says_who_is_first_and_by_how_much(folder: Path) -> None:
    first, lead, wanted = verdict_of(gather(folder))
    assert first.startswith("SeFi-IDE (ours) is first in ID(P)")
    assert "minus Textual Inversion in ID(P), over the same 2 people" in lead and "95% interval" in lead
    assert "of the Prompt that the model reaches" in wanted


def test_the_page_says_when_nothing_learned_does_better(folder: Path) -> None:
    results = gather(folder)
    better = tuple(replace(row, id=1.0, id_p=1.0) if row.method == BASE else row for row in results.rows)
    _, plain, *_ = verdict_of(replace(results, rows=better))
    assert plain.startswith("Unlearned, the model reaches 1.000") and "no method brings a likeness" in plain


def test_the_table_fits_a_terminal_of_80_columns(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    results = gather(folder)
    longest = max(method_names(), key=len)
    variants = (replace(results.variants[0], name=longest), *results.variants[1:])
    rows = tuple(
        replace(row, method=longest) if row.method == results.variants[0].name else row for row in results.rows
    )
    costs = tuple(replace(cost, bytes=20_570_000) for cost in results.costs)
    _show(replace(results, variants=variants, rows=tuple(replace(row, looks=0.5) for row in rows), costs=costs))
    shown = capsys.readouterr().out
    assert longest in shown and "\u2026" not in shown and max(map(len, shown.splitlines())) <= 80


def test_an_interval_that_holds_0_leaves_the_order_open() -> None:
    assert "excludes 0" in lead_sentence(Lead("sefi", "xti", 0.1, (0.05, 0.2)), 8)
    assert "excludes 0" in lead_sentence(Lead("sefi", "xti", -0.1, (-0.2, -0.05)), 8)
    assert "the order of the two is open" in lead_sentence(Lead("sefi", "xti", 0.1, (-0.05, 0.2)), 8)


def test_every_method_has_a_title() -> None:
    assert set(method_names()) <= set(TITLES)


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no comparison here"):
        gather(tmp_path)


def test_equal_plots_are_equal_files_and_missing_values_leave_gaps(folder: Path) -> None:
    marks = [Mark("ours", 0.5, (0.4, 0.6), "ours"), Mark("a peer", float("nan"))]
    pairs = [(mark, mark) for mark in marks[:1]]
    for plot in (
        lambda: ranking(marks, label="x", limits={"floor": 0.1}), lambda: scatter(pairs, labels=("x", "y")),
        lambda: bars(marks, label="x", logarithmic=True), lambda: sweep(["a", "b"], {"x": marks}, label="step", best=0),
    ):  # fmt: skip
        assert plot() == plot() and plot()[:4] == b"\x89PNG"
    assert set(plots_of(gather(folder))) >= {"ranking", "likeness"}


def test_words_from_outside_cannot_become_markup() -> None:
    assert "<b>" not in table(["<b>"], [("", ["<b>", "<b>"])])
    assert "&lt;b&gt;" in grid([("", "<b>")], [[Cell(Image.new("RGB", (4, 4)))]])
