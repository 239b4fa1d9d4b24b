"""The application that the verbs are registered with."""

from __future__ import annotations

import typer

from foretell.cli import read
from foretell.cli.backtest import backtest
from foretell.cli.compare import compare
from foretell.cli.demo import demo
from foretell.cli.fit import fit
from foretell.cli.laws import laws
from foretell.cli.predict import predict
from foretell.cli.rank import rank

app = typer.Typer(
    name="foretell",
    help="Predict a large language-model training run from small ones, with honest error bars.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demo)
app.add_typer(read.app, name="read")
app.command()(predict)
app.command()(backtest)
app.command()(compare)
app.command()(rank)
app.command()(fit)
app.command()(laws)
