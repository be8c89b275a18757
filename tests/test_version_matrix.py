"""The version matrix's own arithmetic; its cells are run by hand or every night, not here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location("version_matrix", ROOT / "scripts" / "version_matrix.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["version_matrix"] = module
    spec.loader.exec_module(module)
    return module


def test_releases_are_sorted_as_numbers_without_trials(matrix: ModuleType) -> None:
    listing = "diffusers (0.42.1)\nAvailable versions: 0.42.1, 0.9.0, 0.10.0rc1, 0.10.0\n  INSTALLED: 0.9.0\n"
    assert matrix.releases(listing) == ["0.9.0", "0.10.0", "0.42.1"]


def test_lower_bounds_are_the_projects(matrix: ModuleType) -> None:
    bounds = matrix.lower_bounds((ROOT / "pyproject.toml").read_text())
    assert {"diffusers", "transformers"} <= bounds.keys()


def test_the_outcome_is_read_from_pytests_summary(matrix: ModuleType) -> None:
    report = "..F\nFAILED tests/a.py::one - TypeError: no\nERROR tests/b.py\n1 failed, 70 passed, 1 error in 3s\n"
    assert matrix.outcome(report) == (70, 2, ("tests/a.py::one - TypeError: no", "tests/b.py"))
    assert matrix.outcome("12 passed, 3 warnings in 1s") == (12, 0, ())


def test_the_first_broken_release_is_found_in_few_runs(matrix: ModuleType) -> None:
    asked: list[str] = []

    def good(release: str) -> bool:
        asked.append(release)
        return int(release) < 13

    ordered = [str(number) for number in range(20)]
    assert matrix.first_bad(ordered, good) == "13" and len(asked) <= 7
    assert matrix.first_bad(ordered[:13], good) is None
    with pytest.raises(ValueError, match="13 is broken already"):
        matrix.first_bad(ordered[13:], good)


def test_a_table_row_keeps_its_columns(matrix: ModuleType) -> None:
    cell = matrix.Cell("0.42.1", "5.6.0", 80, 1, ("tests/a.py::b - x | y",), "abc")
    assert matrix.table([cell]) == "| 0.42.1 | 5.6.0 | 80 | 1 | tests/a.py::b - x \\| y |\n" and not cell.good


def test_what_is_written_by_hand_stays(matrix: ModuleType) -> None:
    assert matrix.kept("# Top\n\n| a |\n\n## Python\n\nWords.\n") == "\n## Python\n\nWords.\n"
    assert matrix.kept("# Top\n\n| a |\n") == "" and "\n## " in matrix.PAGE.read_text(encoding="utf-8")


def test_its_test_files_are_there(matrix: ModuleType) -> None:
    assert all((ROOT / path).exists() for path in matrix.TESTS)
