"""The measurement of exports, as far as it goes in seconds: on the embedded model where it is, else not at all."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from onephoto.backbone.load import embedded_model
from onephoto.evaluate.downgrade import Loss
from onephoto.identity.embeddings import PROGRAMS

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "exports.py"


@pytest.fixture(scope="module")
def exports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exports", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["exports"] = module
    spec.loader.exec_module(module)
    return module


def test_prompts_name_one_person(exports: ModuleType) -> None:
    texts = exports.texts_of(2)
    assert len(texts) == 6 and all(text.count("{") == 1 for text in texts)


def test_the_table_has_the_means_of_each_program(exports: ModuleType) -> None:
    losses = [Loss(0.4, 0.2, 0.5, 0.5), Loss(0.6, 0.4, 0.5, 0.3)]
    rows = [exports.Measured(1, program, "mean", 0.5, loss) for program in PROGRAMS for loss in losses]
    lines = exports.table(rows).splitlines()
    assert [line.split() for line in lines[1:]] == [
        [program, "0.500", "0.300", "0.500", "0.400", "50%"] for program in PROGRAMS
    ]


@pytest.mark.slow
@pytest.mark.skipif(not (embedded_model() / "unet").exists(), reason="the embedded model's weights are not there")
def test_the_command_writes_every_number(exports: ModuleType, tmp_path: Path) -> None:
    app = exports.typer.Typer()
    app.command()(exports.main)
    words = [str(tmp_path), "--people", "1", "--steps", "1", "--prompts", "1", "--sampling", "1"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "exports.json").read_text())
    assert [row["program"] for row in facts["rows"]] == list(PROGRAMS)
    assert len({json.dumps(row["loss"]) for row in facts["rows"]}) == 1
