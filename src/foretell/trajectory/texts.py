"""Texts over training and size: noised, right and wrong options, and decoded from two models at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.corpus.corpus import Corpus
from foretell.errors import CorpusError, TrainError
from foretell.lm.checkpoint_folders import CheckpointFolder
from foretell.lm.cloze import ClozeTask
from foretell.lm.decoding import CONFIGURATIONS, GENERATED, NUCLEUS, PROMPT, decode
from foretell.lm.noised import SHARES, noised
from foretell.lm.perplexity import TextSet, held_out_texts, option_losses
from foretell.lm.requests import Task
from foretell.lm.scoring import score
from foretell.lm.task_checkpoint import Checkpoint, load_checkpoint
from foretell.table import Observations
from foretell.trajectory.sequences import OPTIONS, SequenceCurve, curve_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TextPlan:
    """Say which texts are read: `count` of `width` tokens, noised by `shares`; as many decoded from `prompt` tokens.

    Cloze tasks and ranked ones give right and wrong options. `seed` fixes all that is drawn.
    """

    count: int = 64
    width: int = 64
    shares: tuple[float, ...] = SHARES
    prompt: int = PROMPT
    generated: int = GENERATED
    nucleus: float = NUCLEUS
    cloze: tuple[ClozeTask, ...] = ()
    ranked: tuple[Task, ...] = ()
    seed: int = 0


def trace_texts(
    checkpoints: Sequence[CheckpointFolder],
    observations: Observations,
    loss: str,
    corpus: Corpus,
    plan: TextPlan | None = None,
    *,
    device: str = "cpu",
    on_checkpoint: Callable[[CheckpointFolder], None] = lambda one: None,
) -> list[SequenceCurve]:
    """Measure texts on every checkpoint whose run and validation loss the study knows, and make a curve a size.

    The decoded texts come from the last checkpoints of the smallest and the largest size. Raises TrainError when none
    is known, CorpusError when a checkpoint has another tokenizer than the corpus.
    """
    plan = plan or TextPlan()
    known = _known(checkpoints, observations, loss)
    if not known:
        raise TrainError(f"no checkpoint has a run and a {loss} in the study; evaluate the checkpoints into it first")
    texts = _texts(corpus, plan, known, device)
    eos = corpus.tokenizer.eos
    found: dict[tuple[str, str, str], list[tuple[float, float, Array]]] = defaultdict(list)
    sizes = {}
    for one in known:
        on_checkpoint(one.checkpoint)
        loaded = _load(one.checkpoint, corpus, device)
        model = loaded.model
        sizes[one.rung] = one.size
        for text in texts:
            found[one.rung, text.kind, text.name].append((one.checkpoint.D, one.loss, text.losses(model, eos)))
        scored = {cloze.name: cloze.score(model) for cloze in plan.cloze}
        scored |= {task.name: score(model, loaded.tokenizer, task.items, begin=loaded.begin) for task in plan.ranked}
        for name, scores in scored.items():
            for option, losses in option_losses(scores).items():
                found[one.rung, OPTIONS, f"{name} {option}"].append((one.checkpoint.D, one.loss, losses))
    return [
        curve_of(kind, name, rung, sizes[rung], *map(list, zip(*rows, strict=True)))
        for (rung, kind, name), rows in found.items()
    ]


@dataclass(frozen=True)
class _Known:
    checkpoint: CheckpointFolder
    rung: str
    size: float
    loss: float


def _known(checkpoints: Sequence[CheckpointFolder], observations: Observations, loss: str) -> list[_Known]:
    """Join checkpoints with the study, smallest first, each rung in order of D."""
    losses = {
        (run, D): value
        for run, D, value in observations.values.filter(pl.col("metric") == loss)
        .select("run", "D", "value")
        .iter_rows()
    }
    rows = {row["name"]: row for row in observations.runs.iter_rows(named=True)}
    made = [
        _Known(
            one,
            str(rows[one.run].get("rung") or one.run),
            float(rows[one.run][observations.law_N]),
            losses[one.run, one.D],
        )
        for one in checkpoints
        if (one.run, one.D) in losses
    ]
    return sorted(made, key=lambda one: (one.size, one.rung, one.checkpoint.D))


def _load(one: CheckpointFolder, corpus: Corpus, device: str) -> Checkpoint:
    checkpoint = load_checkpoint(one.folder, device=device)
    if checkpoint.tokenizer.digest != corpus.tokenizer.digest:
        raise CorpusError(
            f"{one.folder} has another tokenizer than the corpus (digests {checkpoint.tokenizer.digest[:12]}, "
            f"{corpus.tokenizer.digest[:12]}); build a corpus with the models' tokenizer.json"
        )
    return checkpoint


def _texts(corpus: Corpus, plan: TextPlan, known: Sequence[_Known], device: str) -> list[TextSet]:
    tokenizer = corpus.tokenizer
    whole = held_out_texts(corpus, corpus.sources, count=plan.count, width=plan.width)
    made = noised(whole, vocabulary=tokenizer.vocabulary, eos=tokenizer.eos, shares=plan.shares, seed=plan.seed)
    smallest = [one for one in known if one.rung == known[0].rung][-1]
    largest = known[-1]
    if smallest.rung == largest.rung:
        return made
    small, large = (_load(one.checkpoint, corpus, device).model for one in (smallest, largest))
    for how, nucleus in (("greedy", None), ("nucleus", plan.nucleus)):
        for name, weights in CONFIGURATIONS.items():
            ids = decode(
                small,
                large,
                whole[:, : plan.prompt],
                weights,
                eos=tokenizer.eos,
                vocabulary=tokenizer.vocabulary,
                tokens=plan.generated,
                nucleus=nucleus,
                seed=plan.seed,
            )
            made.append(TextSet(f"decoded, {how}", name, ids, given=plan.prompt))
    return made
