"""Fixtures that several files of tests use."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tiny import tiny_backbone

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a benchmark by name, with all that it shares with others made anew."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        for script in BENCHMARKS.glob("*.py"):
            monkeypatch.delitem(sys.modules, script.stem, raising=False)
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a folder."""
    folder = tmp_path_factory.mktemp("model")
    tiny_backbone("sd1").pipeline.save_pretrained(folder)
    return folder
