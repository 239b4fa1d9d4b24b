"""The application that the verbs are registered with."""

from __future__ import annotations

import typer

from foretell.cli import corpus, mix, read
from foretell.cli.ablate import ablate
from foretell.cli.backtest import backtest
from foretell.cli.compare import compare
from foretell.cli.demo import demo
from foretell.cli.evaluate import evaluate
from foretell.cli.export import export
from foretell.cli.fit import fit
from foretell.cli.laws import laws
from foretell.cli.plan import plan
from foretell.cli.plot import plot
from foretell.cli.predict import predict
from foretell.cli.progress import outlook
from foretell.cli.rank import rank
from foretell.cli.report import report
from foretell.cli.score import score
from foretell.cli.seal import seal
from foretell.cli.serve import serve
from foretell.cli.trace import trace
from foretell.cli.train import train
from foretell.cli.watch import watch

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
app.add_typer(corpus.app, name="corpus")
app.command()(plan)
app.command()(train)
app.command()(evaluate)
app.command()(watch)
app.add_typer(mix.app, name="mix")
app.command()(predict)
app.command()(outlook)
app.command()(backtest)
app.command()(compare)
app.command()(ablate)
app.command()(rank)
app.command()(trace)
app.command()(seal)
app.command()(score)
app.command()(report)
app.command()(serve)
app.command()(plot)
app.command()(export)
app.command()(fit)
app.command()(laws)
