"""Which releases of diffusers and transformers this project works with, found out by running its tests in them.

    python scripts/version_matrix.py ends --work work/matrix      # oldest and newest of both, crossed; writes the table
    python scripts/version_matrix.py bisect transformers --work work/matrix      # which release broke what

A virtual environment for the matrix is made once in the work folder, with the pinned versions of all else; each cell
puts its two releases in and runs a fixed, fast part of the tests on the checkout. Cells are kept in results.jsonl and
not run twice for the same commit. Run it every night and the newest cell tells when a new release breaks something.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "versions.md"
TESTS = (
    "tests/test_backbone_hooks.py", "tests/test_backbone_prompts.py", "tests/test_identity_file.py",
    "tests/test_public_api.py", "tests/test_generate.py", "tests/test_use_pipelines.py", "tests/test_use_adapters.py",
)  # fmt: skip
"""What touches the two packages: hooks, prompts, files, learning and drawing, pipelines, adapters."""
SLOW = "not compiled"
"""Compiling takes more time than all other tests together."""
FREE = ("diffusers", "transformers", "huggingface_hub", "tokenizers", "hf-xet", "peft", "safetensors", "accelerate")
"""What a cell's releases may bring in another version than the pinned one."""
TOOLS = ("pytest", "hypothesis", "jaxtyping", "beartype", "openpeople")
SHOWN = 3
"""Failing tests of a cell that the table names."""
HEAD = """# Releases that work

Made by `python scripts/version_matrix.py ends`, which runs {count} test files on each pair of releases
(`pyproject.toml` has the oldest as its lower bounds). `... bisect transformers` tells which release broke what.
{day}, Python {python}, torch {torch}, commit {commit}.

| diffusers | transformers | passed | failed | |
| --- | --- | --- | --- | --- |
"""


class Package(StrEnum):
    """What is varied."""

    diffusers = "diffusers"
    transformers = "transformers"


@dataclass(frozen=True)
class Cell:
    """One pair of releases, and what came of the tests there; passed is 0 where they cannot be put in at all."""

    diffusers: str
    transformers: str
    passed: int
    failed: int
    first: tuple[str, ...]
    commit: str

    @property
    def good(self) -> bool:
        """Whether everything passed."""
        return self.passed > 0 and self.failed == 0


def releases(listing: str) -> list[str]:
    """Final releases, oldest first, from what `pip index versions` prints."""
    found = re.search(r"Available versions: (.*)", listing)
    names = [name.strip() for name in found.group(1).split(",")] if found else []
    final = [name for name in names if re.fullmatch(r"\d+(\.\d+)+", name)]
    return sorted(final, key=as_numbers)


def as_numbers(release: str) -> tuple[int, ...]:
    """A release as numbers that sort."""
    return tuple(int(part) for part in release.split("."))


def lower_bounds(pyproject: str) -> dict[str, str]:
    """The oldest releases that the project's metadata allow, by package."""
    wanted = tomllib.loads(pyproject)["project"]["dependencies"]
    pairs = (re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in wanted)
    return {pair[1]: pair[2] for pair in pairs if pair}


def outcome(report: str) -> tuple[int, int, tuple[str, ...]]:
    """Passed, failed (with errors), and the first failing tests, from pytest's short summary."""
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|errors?)\b", report)}
    failing = tuple(re.findall(r"^(?:FAILED|ERROR) (.*)$", report, re.MULTILINE))
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    return counts.get("passed", 0), failed, tuple(line[:160] for line in failing[:SHOWN])


def first_bad(ordered: Sequence[str], good: Callable[[str], bool]) -> str | None:
    """The first of releases, from working to broken, that does not work; None where the last one does.

    By halves, so it takes one place where good turns to bad. Raises ValueError where the first one is bad already.
    """
    if good(ordered[-1]):
        return None
    if not good(ordered[0]):
        raise ValueError(f"{ordered[0]} is broken already; begin with one that works")
    low, high = 0, len(ordered) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(ordered[middle]) else (low, middle)
    return ordered[high]


def table(cells: Sequence[Cell]) -> str:
    """The cells in Markdown."""
    rows = []
    for cell in cells:
        said = "; ".join(cell.first).replace("|", "\\|")
        rows.append(f"| {cell.diffusers} | {cell.transformers} | {cell.passed} | {cell.failed} | {said} |\n")
    return "".join(rows)


def kept(page: str) -> str:
    """What follows the table on the page, which is written by hand: its sections."""
    _, mark, rest = page.partition("\n## ")
    return mark + rest


@dataclass(frozen=True)
class Matrix:
    """The virtual environment, and the cells that were run in it."""

    work: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.work / "venv" / "bin" / "python"

    @property
    def results(self) -> Path:
        """One line of JSON a cell."""
        return self.work / "results.jsonl"

    def made(self) -> "Matrix":
        """The environment, made unless it is there: torch first (see the Makefile), then all that is not varied."""
        if (self.work / "made").exists():
            return self
        self.work.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", self.work / "venv"], check=True)
        pinned = (ROOT / "constraints.txt").read_text().splitlines()
        kept = [line for line in pinned if line.split("==")[0] not in FREE]
        (self.work / "constraints.txt").write_text("\n".join(kept) + "\n")
        self.pip("install", "torch", check=True)
        self.pip("install", str(ROOT), *TOOLS, check=True)
        self.pip("uninstall", "--yes", "onephoto", check=True)
        (self.work / "made").touch()
        return self

    def pip(self, command: str, *words: str, check: bool = False) -> "subprocess.CompletedProcess[str]":
        """A command of the environment's pip, within the pinned versions."""
        within = ["--constraint", str(self.work / "constraints.txt")] if command == "install" else []
        return _said([str(self.python), "-m", "pip", command, "--quiet", *within, *words], check=check)

    def run(self, pins: dict[str, str]) -> Cell:
        """The tests with these releases."""
        commit = head()
        for cell in self.known():
            if (cell.diffusers, cell.transformers, cell.commit) == (pins["diffusers"], pins["transformers"], commit):
                return cell
        put = self.pip("install", *(f"{name}=={release}" for name, release in pins.items()), *others(pins))
        if put.returncode:
            cell = Cell(**pins, passed=0, failed=0, first=(f"pip: {_last(put.stderr)}",), commit=commit)
        else:
            path = os.pathsep.join(str(ROOT / part) for part in ("src", "tests"))
            done = _said([str(self.python), "-m", "pytest", "--tb=no", "-k", SLOW, *TESTS], env={"PYTHONPATH": path})
            cell = Cell(**pins, **dict(zip(("passed", "failed", "first"), outcome(done.stdout), strict=True)),
                        commit=commit)  # fmt: skip
        with self.results.open("a") as file:
            file.write(json.dumps(asdict(cell)) + "\n")
        print(f"diffusers {cell.diffusers}, transformers {cell.transformers}: {cell.passed} passed, {cell.failed} "
              f"failed", *cell.first, sep="\n    ", flush=True)  # fmt: skip
        return cell

    def known(self) -> list[Cell]:
        """Cells run before."""
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return [Cell(**{**row, "first": tuple(row["first"])}) for row in map(json.loads, lines)]

    def available(self, package: str) -> list[str]:
        """The package's releases, oldest first."""
        return releases(_said([str(self.python), "-m", "pip", "index", "versions", package], check=True).stdout)


def others(pins: dict[str, str]) -> tuple[str, ...]:
    """Packages that must come anew with a release, in whatever version fits it."""
    return tuple(name for name in ("peft", "accelerate") if name not in pins)


def head() -> str:
    """The checkout's commit."""
    return _said(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], check=True).stdout.strip()


def _said(
    command: list[str], *, check: bool = False, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, check=check, cwd=ROOT, env={**os.environ, **(env or {})}
    )


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("ERROR")]
    return (lines or ["failed"])[-1][:160]


app = typer.Typer(add_completion=False, help=__doc__)
Work = Annotated[Path, typer.Option(help="Folder for the environment and the results.")]


@app.command()
def ends(
    work: Work,
    diffusers: Annotated[
        str | None, typer.Option(help="The oldest; pyproject.toml's lower bound unless given.")
    ] = None,
    transformers: Annotated[str | None, typer.Option(help="The same.")] = None,
    write: Annotated[bool, typer.Option(help="Write the table to docs/versions.md.")] = True,
) -> None:
    """Run oldest and newest of both packages in all four pairs; exit code 1 when one of them fails."""
    matrix = Matrix(work.resolve()).made()
    bounds = lower_bounds((ROOT / "pyproject.toml").read_text())
    asked = {"diffusers": diffusers, "transformers": transformers}
    choices = {}
    for name in Package:
        known = matrix.available(name)
        oldest = asked[name] or bounds[name]
        # A bound such as 5.6 is the release 5.6.0.
        exact = next((one for one in known if as_numbers(one) >= as_numbers(oldest)), oldest)
        choices[str(name)] = (exact, known[-1])
    cells = [matrix.run(dict(zip(choices, pair, strict=True))) for pair in product(*choices.values())]
    if write:
        torch = _said([str(matrix.python), "-c", "import torch; print(torch.__version__)"], check=True).stdout.strip()
        python = ".".join(map(str, sys.version_info[:3]))
        top = HEAD.format(count=len(TESTS), day=date.today(), python=python, torch=torch, commit=head())
        PAGE.write_text(top + table(cells) + kept(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(PAGE)
    raise typer.Exit(int(not all(cell.good for cell in cells)))


@app.command()
def bisect(
    package: Annotated[Package, typer.Argument(help="Whose releases to go through.")],
    work: Work,
    good: Annotated[str | None, typer.Option(help="A release that works; the lower bound unless given.")] = None,
    bad: Annotated[str | None, typer.Option(help="A release that may not; the newest unless given.")] = None,
    other: Annotated[str | None, typer.Option(help="Release of the other package; the newest unless given.")] = None,
) -> None:
    """Find the first release between two that breaks a test, and say which tests; good may be the later of the two."""
    matrix = Matrix(work.resolve()).made()
    known = matrix.available(package)
    second = next(name for name in Package if name != package)
    fixed = other or matrix.available(second)[-1]
    start, end = good or lower_bounds((ROOT / "pyproject.toml").read_text())[package], bad or known[-1]
    low, high = sorted((as_numbers(start), as_numbers(end)))
    between = [release for release in known if low <= as_numbers(release) <= high]
    if as_numbers(start) > as_numbers(end):
        between.reverse()

    def cell(release: str) -> Cell:
        return matrix.run({str(package): release, str(second): fixed})

    broken = first_bad(between, lambda release: cell(release).good)
    if broken is None:
        print(f"{package} {between[0]} to {between[-1]} work with {second} {fixed}")
        return
    print(
        f"{package} {broken} is the first that does not work with {second} {fixed}:", *cell(broken).first, sep="\n    "
    )
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
