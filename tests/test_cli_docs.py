"""docs/cli.md says what the commands say of themselves."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from onephoto.cli import app

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_cli_docs.py"


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli_docs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(docs: ModuleType) -> None:
    written, now = docs.PAGE.read_text(encoding="utf-8"), docs.page()
    stale = sorted(set(now.splitlines()) ^ set(written.splitlines()))
    assert written == now, f"run python scripts/make_cli_docs.py; lines that differ: {stale}"


def test_the_page_does_not_depend_on_the_terminal(docs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = docs.page()
    for name, value in {"COLUMNS": "40", "TERMINAL_WIDTH": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert docs.page() == before and "\x1b" not in before


def test_page_and_help_name_the_same_commands_and_options(docs: ModuleType) -> None:
    for name, function in docs.commands(app, "onephoto"):
        words = [*name.split()[1:], "--help"]
        shown = CliRunner().invoke(app, words, env={"COLUMNS": "400", "TERMINAL_WIDTH": "400", "NO_COLOR": "1"}).output
        printed = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown)) - {"--help"}
        written = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", docs.section(name, function)))
        assert printed == written, name
