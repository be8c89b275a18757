"""A process that has imported what the benchmarks need, and waits to be told which one to run.

Imports take longer than many a measurement on a GPU, so they are done while another process measures.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = ("learning", "numerics", "generation", "full_size")


class Standby:
    """One such process, for one benchmark; what it says before goes into `log`."""

    def __init__(self, log: Path) -> None:
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, text=True
            )

    def run(self, script: str, words: Sequence[str], log: Path, limit: float) -> int | None:
        """Run it, what it says into `log`; its exit code, None where it had to be stopped after `limit` seconds."""
        asked = json.dumps({"script": script, "words": list(words), "log": str(log)})
        try:
            self.process.communicate(asked + "\n", timeout=limit)
        except subprocess.TimeoutExpired:
            self.close()
            return None
        return self.process.returncode

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Import, wait, and run what standard input asks for."""
    for name in SCRIPTS:
        importlib.import_module(name)
    line = sys.stdin.readline()
    if not line:
        return
    asked = json.loads(line)
    with open(asked["log"], "w") as log:
        print(f"{asked['script']}.py {' '.join(asked['words'])}", file=log, flush=True)
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    run(asked["script"], asked["words"])


def run(script: str, words: Sequence[str]) -> None:
    """A benchmark as its own command line runs it; leaves with its exit code."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(importlib.import_module(script).main)
    try:
        app(list(words))
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
