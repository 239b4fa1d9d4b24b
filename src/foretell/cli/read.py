"""`foretell read`: turn others' files into a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from foretell.table import Observations

app = typer.Typer(help="Read others' files into a study.", no_args_is_help=True, rich_markup_mode=None)

Study = Annotated[Path, typer.Option("--output", "-o", help="The study folder to make, or to add to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary for machines.")]
Text = str | None
Many = list[str] | None
RunTable = Annotated[Path | None, typer.Option("--runs", help="A CSV or TOML of runs: run,N,D (also N_total, family).")]
Map = Annotated[Path | None, typer.Option("--map", help="A TOML of names of metrics, before the one that ships.")]
Rate = Annotated[
    str | None, typer.Option("--tokens-per-step", help="Tokens of one step, such as 4M: D is step × this.")
]
FinalMean = Annotated[int, typer.Option(min=1, help="A run's end is the mean of its last so many checkpoints.")]
Logs = Annotated[Path, typer.Argument(help="A file, or a folder that is searched.")]


@app.command()
def gadre(
    path: Annotated[Path, typer.Argument(help="The folder exp_data of mlfoundations/scaling.")],
    output: Study,
    json: AsJson = False,
) -> None:
    """Read the 104 over-trained models of Gadre et al. 2024 (arXiv 2403.08540)."""
    _read("gadre", path, output, json, {})


@app.command("olmo-ladder")
def olmo_ladder(
    path: Annotated[Path, typer.Argument(help="A checkout of allenai/OLMo-ladder, or its folder with the CSVs.")],
    output: Study,
    all_files: Annotated[bool, typer.Option("--all", help="Every CSV, not only the 16 runs and two targets.")] = False,
    json: AsJson = False,
) -> None:
    """Read the OLMo ladder (arXiv 2412.04403): 16 small runs, and the 7B-4T and 13B-5T targets held out."""
    _read("olmo-ladder", path, output, json, {"all_files": all_files})


@app.command()
def published(
    name: Annotated[Text, typer.Argument(help="Which set; leave it out for a list.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The study folder to make, or to add to.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where its files lie: a checkout, or a folder of it. Else they are fetched.")
    ] = None,
    where: Annotated[Text, typer.Option(help="Rows to read of a table: an SQL condition over its columns.")] = None,
    json: AsJson = False,
) -> None:
    """Read a published set by name: fetched once, every file checked against its sha256.

    FORETELL_TESTBEDS, if set, is the folder that holds the sets in place of the network.

    Example: foretell read published chinchilla --where 'loss < 3.44' -o study/
    """
    from foretell.cli.show import working
    from foretell.errors import SourceError
    from foretell.sources.published import fetch_published, published_set

    if name is None:
        _list_published(as_json=json)
        return
    published_set(name)
    if output is None:
        raise SourceError(f"no study was named; say where {name} is to be written, as in -o {name}/")
    with working(f"fetching {name}", quiet=json):
        fetched = fetch_published(name, folder=folder)
    _read("published", name, output, json, {"folder": fetched, "where": where})


def _list_published(*, as_json: bool) -> None:
    from foretell.cli.show import console, print_json
    from foretell.sources import published_sets

    told = ("name", "about", "origin", "commit", "licence", "citation")
    if as_json:
        print_json([
            {**{entry: getattr(one, entry) for entry in told}, "files": len(one.files)}
            for one in published_sets().values()
        ])  # fmt: skip
        return
    out = console()
    for one in published_sets().values():
        files = "1 file" if len(one.files) == 1 else f"{len(one.files)} files"
        where = f"{files} of {one.origin} at {one.commit[:7]}, {one.citation}; licence: {one.licence}"
        out.print(f"{one.name}: {one.about}\n    {where}", soft_wrap=True, markup=False)


@app.command()
def table(
    path: Annotated[Path, typer.Argument(help="A CSV, Parquet or JSONL file: one row a checkpoint or a run.")],
    output: Study,
    metric: Annotated[Many, typer.Option(help="NAME=EXPR, NAME=GLOB or GLOB, such as c4/loss=loss.")] = None,
    N: Annotated[Text, typer.Option("--N", help="Parameters without embeddings: a column, or arithmetic.")] = None,
    N_total: Annotated[Text, typer.Option("--N-total", help="All parameters.")] = None,
    D: Annotated[Text, typer.Option("--D", help="Training tokens, such as C/(6*N).")] = None,
    C: Annotated[Text, typer.Option("--C", help="Training FLOP; 6ND where not given.")] = None,
    U: Annotated[Text, typer.Option("--U", help="Unique tokens available.")] = None,
    run: Annotated[
        Many, typer.Option(help="A column that names the run; repeat for more. None: a row is a run.")
    ] = None,
    family: Annotated[Text, typer.Option(help="The column that names recipe and data.")] = None,
    step: Annotated[Text, typer.Option(help="The column of steps.")] = None,
    attribute: Annotated[
        Many, typer.Option(help="NAME=COLUMN of whatever else tells runs apart, such as lr=lr.")
    ] = None,
    weight: Annotated[Many, typer.Option(help="NAME=COLUMN of one source's share in the mixture.")] = None,
    weights: Annotated[Text, typer.Option(help="A glob of share columns, such as 'w_*'.")] = None,
    where: Annotated[Text, typer.Option(help="Rows to read: an SQL condition over the file's columns.")] = None,
    held_out: Annotated[Text, typer.Option(help="Rows whose runs no fit may see: an SQL condition.")] = None,
    unit: Annotated[Many, typer.Option(help="METRIC=nats/token|bits/byte|perplexity|accuracy|error|value.")] = None,
    chance: Annotated[Many, typer.Option(help="METRIC=0.25: the accuracy of a guess. METRIC may be a glob.")] = None,
    items: Annotated[Many, typer.Option(help="METRIC=1172: how many questions. METRIC may be a glob.")] = None,
    law_N: Annotated[Text, typer.Option("--law-N", help="Which count the laws use: N or N_total.")] = None,
    final: Annotated[
        bool | None, typer.Option("--final/--all-rows", help="Fit runs' ends, or all checkpoints.")
    ] = None,
    final_mean: FinalMean = 1,
    shared_loss: Annotated[Text, typer.Option(help="The loss that all tasks share as an intermediate.")] = None,
    replicates: Annotated[bool, typer.Option("--replicates", help="Number rows that share run and D.")] = False,
    join: Annotated[Text, typer.Option(help="A second file, whose columns are added to the first's rows.")] = None,
    on: Annotated[Many, typer.Option(help="A column that both files share; repeat for more.")] = None,
    from_toml: Annotated[Path | None, typer.Option(help="A TOML file of the same entries, under [columns].")] = None,
    json: AsJson = False,
) -> None:
    """Read any table, its columns mapped by name.

    Example: foretell read table runs.csv --run model --N N --D 'C/(6*N)' --metric 'loss' -o study/
    """
    mapping: dict[str, Any] = {
        "metric": metric,
        "N": N,
        "N_total": N_total,
        "D": D,
        "C": C,
        "U": U,
        "run": run,
        "family": family,
        "step": step,
        "attribute": _pairs("attribute", attribute),
        "weight": _pairs("weight", weight),
        "weights": weights,
        "where": where,
        "held_out": held_out,
        "unit": _pairs("unit", unit),
        "chance": _pairs("chance", chance),
        "items": _pairs("items", items),
        "law_N": law_N,
        "rows": None if final is None else ("final" if final else "all"),
        "final_mean": final_mean if final_mean != 1 else None,
        "shared_loss": shared_loss,
        "replicates": replicates or None,
        "join": join,
        "on": on,
        "toml": from_toml,
    }
    _read("table", path, output, json, mapping)


@app.command("lm-eval")
def lm_eval(
    path: Annotated[Path, typer.Argument(help="What lm_eval wrote: the folder of --output_path, or one file of it.")],
    output: Study,
    runs: RunTable = None,
    map: Map = None,
    tokens_per_step: Rate = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Where the models lie: config.json gives N, trainer_state.json D.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Read results and samples of lm-evaluation-harness.

    Samples (--log_samples) give each document's outcome, and bpb, soft probability and margin of the right answer.

    Example: foretell read lm-eval results/ --runs runs.csv -o study/
    """
    given = {"checkpoints": checkpoints, **_known(runs, map, tokens_per_step)}
    _read("lm-eval", path, output, json, given)


@app.command("every-eval-ever")
def every_eval_ever(
    path: Logs,
    output: Study,
    runs: RunTable = None,
    map: Map = None,
    tokens_per_step: Rate = None,
    json: AsJson = False,
) -> None:
    """Read records of Every Eval Ever, with the samples beside them.

    Example: foretell read every-eval-ever data/ --runs runs.csv -o study/
    """
    _read("every-eval-ever", path, output, json, _known(runs, map, tokens_per_step))


LOGS = {  # kinds that are read with the same options: what each reads, and an example
    "wandb": (
        "Read histories of Weights & Biases: exported CSV or JSON, or the folder wandb/ of local runs.",
        "foretell read wandb wandb/ -o study/",
    ),
    "trainer": (
        "Read trainer_state.json of the Hugging Face Trainer, of all checkpoints below a folder.",
        "foretell read trainer checkpoints/ -o study/",
    ),
    "tensorboard": (
        "Read scalars of TensorBoard event files; each folder of them is a run.",
        "foretell read tensorboard tensorboard/ --runs runs.csv -o study/",
    ),
    "olmo-core": (
        "Read metrics_step*.json and metrics.json of OLMo-core; each folder is a run.",
        "foretell read olmo-core metrics/ --runs runs.csv -o study/",
    ),
    "levanter": (
        "Read tracker_metrics.jsonl of Levanter.",
        "foretell read levanter tracker_metrics.jsonl -o study/",
    ),
    "torchtitan": (
        "Read what torchtitan prints on the console; each log is a run.",
        "foretell read torchtitan logs/ --runs runs.csv --tokens-per-step 524288 -o study/",
    ),
    "lightning": (
        "Read metrics.csv of Lightning's CSVLogger, as litgpt writes it; each folder is a run.",
        "foretell read lightning logs/ --runs runs.csv -o study/",
    ),
}


def _add_log(kind: str, about: str, example: str) -> None:
    def log(
        path: Logs,
        output: Study,
        runs: RunTable = None,
        map: Map = None,
        tokens_per_step: Rate = None,
        final_mean: FinalMean = 1,
        json: AsJson = False,
    ) -> None:
        _read(kind, path, output, json, _known(runs, map, tokens_per_step, final_mean=final_mean))

    app.command(kind, help=f"{about}\n\nExample: {example}")(log)


for _kind, _told in LOGS.items():
    _add_log(_kind, *_told)


@app.command()
def mlflow(
    path: Annotated[
        str, typer.Argument(help="mlflow.db, the folder mlruns, or a server such as http://127.0.0.1:5000.")
    ],
    output: Study,
    experiment: Annotated[Text, typer.Option(help="Only the runs of this experiment.")] = None,
    runs: RunTable = None,
    map: Map = None,
    tokens_per_step: Rate = None,
    final_mean: FinalMean = 1,
    json: AsJson = False,
) -> None:
    """Read runs of MLflow: its SQLite file, its file store, or a tracking server.

    Example: foretell read mlflow mlflow.db --experiment ladder -o study/
    """
    given = {"experiment": experiment, **_known(runs, map, tokens_per_step, final_mean=final_mean)}
    _read("mlflow", path, output, json, given)


def summary(study: Observations) -> dict[str, Any]:
    """Count what a study holds: runs, families, ranges of N and D, values and holes of each metric, notes."""
    import polars as pl

    def span(frame: pl.DataFrame, column: str) -> list[float] | None:
        known = frame[column].drop_nulls().to_list()
        return [min(known), max(known)] if known else None

    checkpoints = study.values.select("run", "D").n_unique()
    counts = dict(study.values.group_by("metric").len().iter_rows())
    return {
        "runs": len(study.runs),
        "held_out": study.runs.filter(pl.col("held_out"))["name"].to_list(),
        "families": sorted(study.runs["family"].unique().to_list()),
        "law_N": study.law_N,
        "N": span(study.runs, study.law_N),
        "D": span(study.values, "D"),
        "rows": study.rows,
        "checkpoints": checkpoints,
        "shared_loss": study.shared_loss,
        "metrics": {
            name: {"unit": metric.unit, "values": counts.get(name, 0), "holes": checkpoints - counts.get(name, 0)}
            for name, metric in study.metrics.items()
        },
        "notes": list(study.notes),
    }


def _read(kind: str, path: str | Path, output: Path, as_json: bool, options: dict[str, Any]) -> None:
    from foretell.cli.show import reading
    from foretell.sources import HARNESSES, read, save_harness
    from foretell.table import save_study

    source = f"{kind} {path}"
    with reading(source, quiet=as_json):
        if kind in HARNESSES:
            study = save_harness(HARNESSES[kind](path, **options), output, source=source)
        else:
            study = save_study(read(kind, path, **options), output, source=source)
    counted = {"study": str(output), **summary(study)}
    if as_json:
        import json

        typer.echo(json.dumps(counted, ensure_ascii=False))
    else:
        _show(counted)


def _show(counted: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from foretell.units import format_count

    def span(ends: list[float] | None) -> str:
        return "unknown" if ends is None else " – ".join(format_count(end) for end in ends)

    facts = Table(show_header=False, box=None)
    held = counted["held_out"]
    some = ", ".join(held[:4]) + (", …" if len(held) > 4 else "")
    facts.add_row("runs", f"{counted['runs']}" + (f", {len(held)} held out ({some})" if held else ""))
    facts.add_row("families", ", ".join(name for name in counted["families"] if name) or "one")
    facts.add_row(f"N ({counted['law_N']})", f"{span(counted['N'])} parameters")
    facts.add_row("D", f"{span(counted['D'])} tokens")
    facts.add_row("laws see", f"{counted['rows']} rows of {counted['checkpoints']} checkpoints")
    by_unit: dict[str, list[str]] = {}
    for name, metric in counted["metrics"].items():
        by_unit.setdefault(metric["unit"], []).append(name)
    for unit, names in sorted(by_unit.items()):
        shown = ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
        facts.add_row(unit, shown)
    holes = sum(metric["holes"] for metric in counted["metrics"].values())
    facts.add_row("holes", f"{holes} values not measured")
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(facts)
    for note in counted["notes"]:
        console.print(f"note: {note}")
    console.print(f"study written to {counted['study']}")


def _known(runs: Path | None, map: Path | None, tokens_per_step: str | None, **more: Any) -> dict[str, Any]:
    """Collect the options that all readers of tools' files share."""
    from foretell.units import parse_count

    rate = None if tokens_per_step is None else parse_count(tokens_per_step, "tokens per step")
    return {"runs": runs, "map": map, "tokens_per_step": rate, **more}


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    """Read the texts NAME=VALUE of an option that may be repeated."""
    if not texts:
        return None
    from foretell.errors import SourceError

    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise SourceError(f"--{option} {text!r} cannot be read; write --{option} NAME=VALUE")
        found[name.strip()] = value.strip()
    return found
