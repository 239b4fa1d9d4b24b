"""The application that the verbs are registered with."""

from __future__ import annotations

import typer

from foretell.cli import read

app = typer.Typer(
    name="foretell",
    help="Predict a large language-model training run from small ones, with honest error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(read.app, name="read")
