"""Reading the token losses of a study: each run's, with its trunk told from its cool-downs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.corpus.corpus import Corpus
from foretell.corpus.tokenizer import read_tokenizer
from foretell.errors import CorpusError, StudyError, UnknownName
from foretell.lm.probe import FOLDER, ProbeFolder, ProbeTitle, read_probe
from foretell.table import Observations
from foretell.trajectory.losses import Row, RunLosses, TokenLosses

Array = NDArray[np.float64]

NAMED = 3  # documents that a message names


def read_runs(
    study: str | Path, probe: str, observations: Observations, corpus: Corpus | None = None
) -> tuple[list[RunLosses], tuple[str, ...]]:
    """Read the losses of every run that the study describes, and notes on those it does not.

    Checkpoints past the share of training at which a run's schedule cools down (columns `schedule` and `cooldown`) are
    no part of its trunk. With a corpus, raises StudyError when the probe's tokenizer is another or a document of it was
    trained on; always when a file is absent, cut short, of another probe, or holds losses that are no numbers.
    """
    parent = Path(study) / FOLDER
    if not (parent / probe).is_dir():
        known = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
        if not known:
            raise StudyError(
                f"the study {study} holds no probe; measure one: foretell evaluate … --probe SOURCE, or a ladder with "
                "[evaluation] probe"
            )
        raise UnknownName("probe of the study", probe, known)
    folder = read_probe(parent / probe, tokenizer=corpus.tokenizer.digest if corpus else None)
    if corpus is not None:
        refuse_trained_on(folder.title, corpus)
    described = set(observations.runs["name"])
    absent = [run for run in folder.runs if run not in described]
    found = [_run(folder, run, observations) for run in folder.runs if run in described]
    note = (f"{len(absent)} runs have token losses but are not in the table: {', '.join(absent[:NAMED])}; left out",)
    return found, note if absent else ()


def refuse_trained_on(title: ProbeTitle, corpus: Corpus) -> None:
    """Refuse a probe that shares a document with the training part of a corpus; raises StudyError."""
    probed = set(title.documents)
    for source in corpus.sources:
        both = sorted(probed & {str(digest) for digest in corpus.train(source).digests})
        if both:
            raise StudyError(
                f"{len(both)} of the probe's {len(probed)} documents are in the training part of {source!r} "
                f"({', '.join(one[:12] for one in both[:NAMED])}); its losses say what was learned by heart: probe "
                "held-out text"
            )


def refuse_other_tokenizers(folders: Sequence[Path], corpus: Corpus) -> None:
    """Refuse checkpoints that have another tokenizer than the corpus; raises CorpusError, also where one has none."""
    for folder in folders:
        found = read_tokenizer(folder).digest
        if found != corpus.tokenizer.digest:
            raise CorpusError(
                f"{folder} has another tokenizer than the corpus (digests {found[:12]}, "
                f"{corpus.tokenizer.digest[:12]}), and their tokens cannot be compared; leave those checkpoints out, "
                "or build a corpus with the models' tokenizer.json"
            )


def _run(folder: ProbeFolder, run: str, observations: Observations) -> RunLosses:
    row = observations.runs.filter(observations.runs["name"] == run).row(0, named=True)
    D = folder.D(run)
    rows = []
    for values in folder.losses(run):
        if not isinstance(values, np.memmap) or values.filename is None:
            raise StudyError(f"the losses of {run!r} are not on disk; evaluate again")
        rows.append(Row(Path(values.filename), values.offset))
    size = float(row[observations.law_N] or row["N"] or row["N_total"])
    return RunLosses(
        losses=TokenLosses(run, D, tuple(rows), folder.title.tokens),
        size=size,
        rung=str(row.get("rung") or run),
        trunk=_trunk(D, row),
        C=_compute(D, row, size),
    )


def _trunk(D: Array, row: dict[str, object]) -> NDArray[np.bool_]:
    """Mark the checkpoints (c,) before the cool-down of a run."""
    end, share, step = row["D"], row.get("cooldown"), row.get("batch_tokens")
    if row.get("schedule") != "wsd" or not isinstance(end, float) or not isinstance(share, float):
        return np.ones(len(D), np.bool_)
    room = step if isinstance(step, float) else 0.0  # a cool-down begins at a whole step
    return np.asarray(D <= (1.0 - share) * end + room)


def _compute(D: Array, row: dict[str, object], size: float) -> Array:
    C, end = row["C"], row["D"]
    a_token = C / end if isinstance(C, float) and isinstance(end, float) else 6.0 * size
    return np.asarray(a_token * D)
