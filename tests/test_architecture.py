import ast
from pathlib import Path

import onephoto

ROOT = Path(onephoto.__file__).parent
ORDER = (
    {"errors"}, {"core", "world"}, {"backbone"}, {"identity"}, {"learn", "generate", "methods"}, {"look"}, {"evaluate"},
    {"api"}, {"exchange", "comparison", "together"}, {"base"}, {"cli"}, {"__main__"},
)  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def arrows() -> set[tuple[str, str, str]]:
    found = set()
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "onephoto":
                names = [f"onephoto.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("onephoto."):
                    found.add((room, name.split(".")[1], str(path)))
    return found


def test_imports_point_only_to_the_left() -> None:
    wrong = [
        (path, target)
        for room, target, path in arrows()
        if room not in ("__init__", target) and RANK[target] >= RANK[room]
    ]
    assert not wrong


def test_the_training_of_the_model_is_imported_by_the_command_line_alone() -> None:
    assert {room for room, target, _ in arrows() if target == "base"} <= {"base", "cli"}
