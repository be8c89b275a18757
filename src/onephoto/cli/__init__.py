"""The command line: options in, one call of the api, results shown. Errors are one line, and exit code 2."""

import sys

import typer

from onephoto.cli import compare, demo, exchange, make_base, make_world, people, share, study
from onephoto.errors import OnephotoError

app = typer.Typer(
    name="onephoto",
    help="Put one person, from one photo, into a text-to-image model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    people.learn, people.generate, people.look, people.inspect, compare.compare, study.study, study.tune, demo.demo,
):  # fmt: skip
    app.command()(command)
app.command()(exchange.export)
app.command("import")(exchange.import_)
app.command()(share.push)
app.command()(share.pull)
app.add_typer(make_world.app, name="world", help="The synthetic people that the embedded model is trained on.")
app.add_typer(make_base.app, name="base", help="Training of the embedded model.")


def main() -> None:
    """Run the command line; what a user can mend is one line on standard error and exit code 2."""
    try:
        app()
    except OnephotoError as error:
        print(f"onephoto: {error}", file=sys.stderr)
        sys.exit(2)
