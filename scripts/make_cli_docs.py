"""Writes docs/cli.md from the commands themselves, so that it says what they do: python scripts/make_cli_docs.py

It reads signatures, not printed help, so neither a terminal's width nor its colours show in it.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from onephoto.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """# Commands

Made by `python scripts/make_cli_docs.py` from the commands themselves; `onephoto COMMAND --help` says the same.
What a user can mend is one line on standard error, with exit code 2; Ctrl-C in learning saves and exits with 130.
"""
KINDS = {Path: "PATH", str: "TEXT", int: "NUMBER", float: "NUMBER"}


def commands(group: typer.Typer, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command's full name and function, groups in their place."""
    for command in group.registered_commands:
        if command.callback is not None and not command.hidden:
            yield f"{prefix} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for part in group.registered_groups:
        if part.typer_instance is not None and not part.hidden:
            yield from commands(part.typer_instance, f"{prefix} {part.name}")


def kind(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several: list[Path] | None -> (Path, True)."""
    options = [part for part in typing.get_args(annotation) if part is not NoneType]
    if typing.get_origin(annotation) is list:
        return options[0], True
    return (annotation, False) if not options else kind(options[0])


def placeholder(of: Any) -> str:
    """How a value is written in the table."""
    if isinstance(of, type) and issubclass(of, Enum):
        return "\\|".join(str(member.value) for member in of)
    return KINDS[of]


def split(parameter: inspect.Parameter) -> tuple[Any, ArgumentInfo | OptionInfo]:
    """A parameter's plain type and what typer is told of it."""
    if typing.get_origin(parameter.annotation) is not typing.Annotated:
        return parameter.annotation, OptionInfo()
    plain, *notes = typing.get_args(parameter.annotation)
    return plain, next(note for note in notes if isinstance(note, ArgumentInfo | OptionInfo))


def spelling(parameter: inspect.Parameter, plain: Any, note: OptionInfo) -> str:
    """An option as it is typed: `--seed NUMBER`, or `--crop / --no-crop`."""
    # In Annotated, typer keeps the first spelling where a default would stand.
    names = [*([note.default] if isinstance(note.default, str) else []), *(note.param_decls or ())]
    dashed = f"--{parameter.name.replace('_', '-')}"
    of, _ = kind(plain)
    if of is bool:
        off = "" if names else f" / --no-{dashed[2:]}"
        names = names or [dashed]
        return f"`{', '.join(names)}{off}`"
    return f"`{', '.join(names or [dashed])}` {placeholder(of)}"


def default(parameter: inspect.Parameter) -> str:
    """What holds unless an option is given; nothing for none."""
    value = parameter.default
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = value.value if isinstance(value, Enum) else value
    return "" if value is None or value == "" else f"`{value}`"


def rows(function: Callable[..., Any]) -> tuple[list[str], list[str], list[str]]:
    """Arguments as the usage line has them, and the table rows of arguments and options."""
    usage, arguments, options = [], [], []
    for parameter in inspect.signature(function).parameters.values():
        plain, note = split(parameter)
        text = re.sub(r"([|<])", r"\\\1", note.help or "")
        of, several = kind(plain)
        if isinstance(note, ArgumentInfo):
            name = parameter.name.upper() + ("..." if several else "")
            usage.append(name if parameter.default is inspect.Parameter.empty else f"[{name}]")
            choices = f" {placeholder(of)}" if issubclass(of, Enum) else ""
            arguments.append(f"| `{name}`{choices} | {default(parameter)} | {text} |")
        else:
            again = " ..." if several else ""
            options.append(f"| {spelling(parameter, plain, note)}{again} | {default(parameter)} | {text} |")
    return usage, arguments, options


def section(name: str, function: Callable[..., Any]) -> str:
    """One command: usage, its docstring, its arguments and options."""
    usage, arguments, options = rows(function)
    line = " ".join([name, *usage, *(["[OPTIONS]"] if options else [])])
    table = ["| | unless given | |", "| --- | --- | --- |", *arguments, *options]
    return "\n".join([f"## {name}", "", f"    {line}", "", inspect.cleandoc(function.__doc__ or ""), "", *table, ""])


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name, function) for name, function in commands(app, "onephoto"))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
