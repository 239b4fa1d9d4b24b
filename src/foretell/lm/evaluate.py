"""Evaluate a checkpoint: losses of sources, ranked tasks, cloze tasks, a probe, into a study."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.corpus.documents import Documents
from foretell.errors import CorpusError, TableError, TrainError
from foretell.lm.cloze import ClozeTask
from foretell.lm.harness import run_harness
from foretell.lm.probe import Probe, write_losses, write_probe
from foretell.lm.requests import Task
from foretell.lm.scoring import BATCH_TOKENS, Scores, score
from foretell.lm.task_checkpoint import Checkpoint
from foretell.lm.task_measurement import Measurement, of_loss, of_scores
from foretell.lm.validation import BATCH, validation_loss
from foretell.table.items import write_items
from foretell.table.observations import Observations
from foretell.table.run import Run
from foretell.table.study import open_study, save_study

if TYPE_CHECKING:
    from foretell.corpus.corpus import Corpus
    from foretell.corpus.tokenizer import Tokenizer

SEQUENCE = 2048  # tokens of a window, for models that read more: losses of longer ones differ little and cost memory


@dataclass(frozen=True)
class Questions:
    """Say what to measure: losses of a corpus's sources (all when none is named), tasks, a probe by its name.

    `harness` names tasks of lm-evaluation-harness, `harness_options` what `run_harness` takes beside them. `sequence`
    is the window of losses in tokens, the model's context (at most 2048) when None.
    """

    corpus: Corpus | None = None
    sources: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    cloze: tuple[ClozeTask, ...] = ()
    probe: tuple[str, Probe] | None = None
    harness: tuple[str, ...] = ()
    harness_options: dict[str, Any] = field(default_factory=dict)
    sequence: int | None = None
    most_tokens: int | None = None
    batch: int = BATCH
    batch_tokens: int = BATCH_TOKENS


@dataclass(frozen=True)
class Evaluation:
    """Hold what was measured on one checkpoint: values, outcomes of items by task, losses of a probe's tokens."""

    run: Run
    D: float
    step: int | None
    measured: tuple[Measurement, ...]
    outcomes: dict[str, pl.DataFrame]
    probe: tuple[str, Probe, NDArray[np.float32]] | None = None
    notes: tuple[str, ...] = ()


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    asked: Questions,
    *,
    name: str | None = None,
    D: float | None = None,
    family: str = "",
    known: Observations | None = None,
    on_part: Callable[[str], None] = lambda part: None,
) -> Evaluation:
    """Measure everything asked for on a checkpoint of a run.

    Name and D (training tokens) are those that training recorded, or those given. `known` is the study that the values
    go into: its description of a run of that name holds. `on_part` is told what is measured next. A corpus of another
    tokenizer is encoded again, so that its bits a byte compare. Raises TrainError when D or the questions are missing,
    TableError when the study's run of that name is another, CorpusError for a task made with another tokenizer; all
    before anything is measured.
    """
    run, at = _run(checkpoint, name, D, family, known)
    _refuse(checkpoint, asked)
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    sequence = asked.sequence or min(checkpoint.context, SEQUENCE)
    measured: list[Measurement] = []
    outcomes: dict[str, pl.DataFrame] = {}
    notes: list[str] = []
    for corpus in [asked.corpus] if asked.corpus else []:
        for source in asked.sources or corpus.sources:
            on_part(source)
            documents, note = _held_out(corpus, source, tokenizer, asked.most_tokens)
            notes += note
            loss = validation_loss(
                model, documents, sequence=sequence, batch=asked.batch, most_tokens=asked.most_tokens
            )
            measured += of_loss(source, loss)
    for task, scores in _ranked(checkpoint, asked, on_part):
        measured += of_scores(task, scores)
        outcomes[f"{task}/acc"] = _outcomes(run.name, at, f"{task}/acc", scores)
        if scores.truncated:
            notes.append(
                f"{len(scores.truncated)} prompts of {task} lost their beginning: the model's context is short"
            )
    if asked.harness:
        on_part(", ".join(asked.harness))
        measured += run_harness(model, tokenizer, checkpoint.folder, asked.harness, **asked.harness_options)
    probe = None
    if asked.probe:
        on_part(f"probe {asked.probe[0]}")
        probe = (*asked.probe, asked.probe[1].losses(model, batch=asked.batch))
    return Evaluation(run, at, checkpoint.step, tuple(measured), outcomes, probe, tuple(notes))


def observations_of(evaluations: Sequence[Evaluation], known: Observations | None = None) -> Observations:
    """Make observations of evaluations; a run's D is that of its last checkpoint, unless a study knows the run."""
    runs: dict[str, Run] = {}
    for made in evaluations:
        before = runs.get(made.run.name)
        if before is None or before.D < made.run.D:
            runs[made.run.name] = made.run
    rows = [
        {
            "run": made.run.name,
            "D": made.D,
            "step": None if made.step is None else float(made.step),
            "metric": one.metric.name,
            "value": one.value,
            "items": None if one.items is None else float(one.items),
            "stderr": one.stderr,
        }
        for made in evaluations
        for one in made.measured
    ]
    if not rows:
        raise TrainError("nothing was measured that a table holds; ask for a corpus, a task, or a cloze task")
    table = Observations.of(
        list(runs.values()),
        pl.DataFrame(rows, infer_schema_length=None),
        {one.metric.name: one.metric for of in evaluations for one in of.measured}.values(),
        law_N=known.law_N if known else "N",
    )
    if known is None:
        return table
    there = known.runs.filter(pl.col("name").is_in(list(runs)))
    own = table.runs.filter(~pl.col("name").is_in(there["name"].to_list()))
    return dataclasses.replace(table, runs=pl.concat([there, own], how="diagonal"))


def write_evaluations(evaluations: Sequence[Evaluation], study: str | Path) -> Observations:
    """Write evaluations into a study folder, new or old, and give what its table then holds.

    Values go into the table, outcomes of items below `items/`, losses of tokens below `tokens/`. Raises TableError when
    the table has other values already; then nothing is written.
    """
    folder = Path(study)
    table = save_study(observations_of(evaluations, known_study(folder)), folder, source="foretell evaluate")
    for made in evaluations:
        for metric, frame in made.outcomes.items():
            write_items(folder, frame, _writer(made.run.name, made.D, metric))
        if made.probe:
            name, probe, losses = made.probe
            write_losses(write_probe(folder, name, probe), probe, made.run.name, made.step, made.D, losses)
    return table


def known_study(folder: Path) -> Observations | None:
    """Open a study that values are to be added to; None where there is none yet."""
    return open_study(folder) if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) else None


def _run(
    checkpoint: Checkpoint, name: str | None, D: float | None, family: str, known: Observations | None
) -> tuple[Run, float]:
    called = name or checkpoint.run or checkpoint.folder.resolve().name
    at = D if D is not None else checkpoint.D
    if at is None:
        raise TrainError(
            f"nothing in {checkpoint.folder} says how many tokens the model was trained on; give -D, such as -D 300B"
        )
    run = Run(name=called, D=at, N=checkpoint.N, N_total=checkpoint.N_total, family=family)
    if known is not None and called in set(known.runs["name"]):
        there = known.runs.row(by_predicate=pl.col("name") == called, named=True)
        for what, count in (("N", run.N), ("N_total", run.N_total)):
            if there[what] is not None and there[what] != count:
                raise TableError(
                    f"the study has a run {called!r} with {what} = {there[what]:.0f}, the checkpoint has {count}; give "
                    "--name"
                )
        if there["D"] is not None and there["D"] < at:
            raise TableError(
                f"the study's run {called!r} ends at D = {there['D']:.6g}, the checkpoint is at {at:.6g}; evaluate "
                "all its checkpoints at once into a new study, or give --name"
            )
    return run, at


def _refuse(checkpoint: Checkpoint, asked: Questions) -> None:
    """Refuse what could not be measured, before the first forward pass."""
    if not (asked.corpus or asked.tasks or asked.cloze or asked.harness):
        raise TrainError("there is nothing to put into a table; give --corpus, --task, --cloze or --harness")
    digest = checkpoint.tokenizer.digest
    for what, other in (
        *((f"the cloze task {task.name}", task.tokenizer) for task in asked.cloze),
        *((f"the probe {name}", probe.title.tokenizer) for name, probe in ([asked.probe] if asked.probe else [])),
    ):
        if other != digest:
            raise CorpusError(
                f"{what} was made with another tokenizer than the checkpoint's (digests {other[:12]}, {digest[:12]}); "
                "build a corpus with the model's tokenizer.json"
            )
    longest = max([asked.sequence or 1, *([asked.probe[1].title.sequence] if asked.probe else [])])
    if longest > checkpoint.context:
        raise TrainError(f"windows of {longest} tokens do not fit the model's context of {checkpoint.context} tokens")
    names = [*(task.name for task in asked.tasks), *(cloze.name for cloze in asked.cloze)]
    if len(set(names)) < len(names):
        raise TrainError(f"a task is asked for twice ({', '.join(sorted(names))}); ask once for each")


def _ranked(checkpoint: Checkpoint, asked: Questions, on_part: Callable[[str], None]) -> Iterator[tuple[str, Scores]]:
    model = checkpoint.model
    for task in asked.tasks:
        on_part(task.name)
        yield (
            task.name,
            score(model, checkpoint.tokenizer, task.items, batch_tokens=asked.batch_tokens, begin=checkpoint.begin),
        )
    for cloze in asked.cloze:
        on_part(cloze.name)
        yield cloze.name, cloze.score(model, batch_tokens=asked.batch_tokens)


def _held_out(
    corpus: Corpus, source: str, tokenizer: Tokenizer, most_tokens: int | None
) -> tuple[Documents, list[str]]:
    documents = corpus.held_out(source)
    old = corpus.tokenizer
    if old.digest == tokenizer.digest or not len(documents):
        return documents, []
    ids: list[list[int]] = []
    total = 0
    for document in documents:
        ids.append([*tokenizer.encode(old.decode(document[:-1].tolist())), tokenizer.eos])
        total += len(ids[-1])
        if most_tokens is not None and total > most_tokens:
            break
    again = Documents(
        tokens=np.concatenate([np.array(one, np.uint32) for one in ids]),
        offsets=np.cumsum([0, *map(len, ids)]),
        bytes=documents.bytes[: len(ids)],
        digests=documents.digests[: len(ids)],
    )
    return again, [f"{source} was encoded again with the model's tokenizer; compare its bpb, not its nats a token"]


def _outcomes(run: str, D: float, metric: str, scores: Scores) -> pl.DataFrame:
    return pl.DataFrame({"item": list(scores.ids), "outcome": scores.outcomes().astype(np.uint16)}).with_columns(
        run=pl.lit(run), D=pl.lit(D), metric=pl.lit(metric), trials=pl.lit(1, dtype=pl.UInt16)
    )


def _writer(run: str, D: float, metric: str) -> str:
    """Name the file of one checkpoint's outcomes on one task: the same for the same, another for any other."""
    key = hashlib.sha256(repr((run, D, metric)).encode()).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", f"{run}-{D:.6g}-{metric}").lstrip("._=+-") + f"-{key}"
