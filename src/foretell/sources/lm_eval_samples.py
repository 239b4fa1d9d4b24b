"""The samples of lm-evaluation-harness: what a model answered to each document of a task."""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from foretell.errors import SourceError
from foretell.sources.guard import json_lines, label, number

LN2 = math.log(2)
HASH = 24  # hexadecimal digits of a document's SHA-256 that are kept: 96 bits
CHOICE = ("acc", "acc_norm", "acc_bytes")


@dataclass
class TaskSamples:
    """Hold one task's documents under one filter: hashes, logged measures, and what log-likelihoods give anew.

    `scores` has, a document each, nan where not known: acc, acc_norm, acc_bytes of the choices' log-likelihoods; bpb of
    the right answer (bits per byte, its leading delimiter not counted); soft, its probability among the choices;
    margin, its log-likelihood over the best other choice, in nats. `nats` and `bytes` are of texts scored whole.
    """

    task: str
    filter: str
    doc: list[str] = field(default_factory=list)
    doc_id: array[float] = field(default_factory=lambda: array("d"))
    logged: dict[str, array[float]] = field(default_factory=dict)
    scores: dict[str, array[float]] = field(default_factory=dict)
    nats: array[float] = field(default_factory=lambda: array("d"))
    bytes: array[float] = field(default_factory=lambda: array("d"))
    guess: array[float] = field(default_factory=lambda: array("d"))
    differ: int = 0

    def items(self) -> pl.Series:
        """Name each document by its hash, those that occur several times numbered in order of doc_id."""
        frame = pl.DataFrame({"doc": self.doc, "doc_id": np.asarray(self.doc_id)}).with_row_index("row")
        again = pl.int_range(pl.len()).over("doc")
        name = pl.when(again > 0).then(pl.format("{}#{}", "doc", again + 1)).otherwise("doc")
        return frame.sort("doc_id", "row", nulls_last=True).with_columns(item=name).sort("row")["item"]

    def measure(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Give a measure of every document, as logged, else as computed anew; nan where it is not known."""
        values = self.logged.get(name)
        if values is None:
            values = self.scores.get(name, array("d"))
        return np.asarray(values, dtype=np.float64)

    def measures(self) -> list[str]:
        """Name the measures that any document has."""
        return [name for name in {**self.logged, **self.scores} if not np.isnan(self.measure(name)).all()]


def read_samples(path: Path, task: str, delimiter: str = " ") -> list[TaskSamples]:
    """Read one samples file as a stream: a TaskSamples for each filter.

    `delimiter` stands between question and answer, and is no part of a choice's length. Raises SourceError, naming the
    line, for what is no sample.
    """
    found: dict[str, TaskSamples] = {}
    for line, sample in json_lines(path):
        try:
            name = label(sample.get("filter", "none"))
            of = found.get(name)
            if of is None:
                of = found[name] = TaskSamples(task, name)
            _add(of, sample, delimiter)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            if isinstance(error, SourceError):
                raise
            reason = f"{type(error).__name__} {str(error)[:80]}"
            raise SourceError(f"line {line} of {path} is no sample of lm-evaluation-harness: {reason}") from None
    return list(found.values())


def _add(of: TaskSamples, sample: Mapping[str, Any], delimiter: str) -> None:
    count = len(of.doc)
    doc_hash = sample.get("doc_hash")
    if not isinstance(doc_hash, str) or not doc_hash:
        text = json.dumps(sample["doc"], indent=2, ensure_ascii=False)  # as the harness hashes it
        doc_hash = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    doc_id = number(sample.get("doc_id"))
    of.doc.append(label(doc_hash[:HASH]))
    of.doc_id.append(count if doc_id is None else doc_id)
    measures = sample.get("metrics")
    names = (
        measures
        if isinstance(measures, list)
        else [name for name in ("acc", "acc_norm", "exact_match") if name in sample]
    )
    for name in names:
        value = number(sample.get(name)) if isinstance(name, str) else None
        if isinstance(name, str) and isinstance(sample.get(name), bool):
            value = float(sample[name])
        if value is not None:
            _put(of.logged, label(name), count, value)
    computed, guess = _computed(sample, delimiter, of, count)
    for name, score in computed.items():
        _put(of.scores, name, count, score)
        if name in CHOICE and name in of.logged and len(of.logged[name]) > count:
            of.differ += of.logged[name][count] != score
    of.guess.append(guess)
    for columns in (of.logged, of.scores):
        for values in columns.values():
            if len(values) <= count:
                values.append(math.nan)


def _put(columns: dict[str, array[float]], name: str, place: int, value: float) -> None:
    values = columns.get(name)
    if values is None:
        values = columns[name] = array("d", [math.nan]) * place
    if len(values) == place:
        values.append(value)


def _computed(sample: Mapping[str, Any], delimiter: str, of: TaskSamples, count: int) -> tuple[dict[str, float], float]:
    """Compute a document's scores anew from its log-likelihoods; give also the chance of a guess."""
    asked = _continuations(sample["arguments"])
    answers = sample["filtered_resps"]
    if not isinstance(answers, list):
        return {}, math.nan
    if asked is None:
        ll = number(answers[0]) if len(answers) == 1 and not isinstance(answers[0], list) else None
        size = next(
            (pair[1] for name in ("bits_per_byte", "byte_perplexity") if isinstance(pair := sample.get(name), list)),
            None,
        )
        read = number(size)
        if ll is not None and read is not None and read > 0 and ll < 0:
            of.nats.append(-ll)
            of.bytes.append(read)
            return {"bpb": -ll / (LN2 * read)}, math.nan
        return {}, math.nan
    lls = [float(answer[0]) for answer in answers if isinstance(answer, list | tuple) and answer]
    if len(lls) != len(asked) or not all(map(math.isfinite, lls)):
        return {}, math.nan
    choices = [text.removeprefix(delimiter) for _, text in asked]
    if len(lls) == 1:
        size = len(choices[0].encode("utf-8", "replace"))
        return ({"bpb": -lls[0] / (LN2 * size)} if size and lls[0] < 0 else {}), math.nan
    if len(lls) % 2 == 0 and all(context == "" for context, _ in asked[len(lls) // 2 :]) and asked[0][0] != "":
        half = len(lls) // 2  # the second half asks for the choices without the question
        lls, choices = lls[:half], choices[:half]
    gold = _gold(sample, choices, lls)
    if gold is None:
        return {}, 1 / len(lls)
    return _scored(lls, choices, gold, alike=len(set(choices)) == 1), 1 / len(lls)


def _scored(lls: Sequence[float], choices: Sequence[str], gold: int, *, alike: bool) -> dict[str, float]:
    best = max(lls)
    total = math.fsum(math.exp(ll - best) for ll in lls)
    others = max(ll for place, ll in enumerate(lls) if place != gold) if len(lls) > 1 else math.nan
    found = {
        "acc": float(lls.index(best) == gold),
        "soft": math.exp(lls[gold] - best) / total,
        "margin": lls[gold] - others,
    }
    sizes = [len(text.encode("utf-8", "replace")) for text in choices]
    if sizes[gold] and lls[gold] < 0:
        found["bpb"] = -lls[gold] / (LN2 * sizes[gold])
    if all(sizes) and not alike:  # choices that stand in the question have lengths that no sample tells
        for name, lengths in (("acc_norm", [len(text) for text in choices]), ("acc_bytes", sizes)):
            shares = [ll / length for ll, length in zip(lls, lengths, strict=True)]
            found[name] = float(shares.index(max(shares)) == gold)
    return found


def _gold(sample: Mapping[str, Any], choices: Sequence[str], lls: Sequence[float]) -> int | None:
    """Find the right choice: by the target's number or text, or, where those do not tell, by the accuracy logged."""
    target = sample.get("target")
    told: set[int] = set()
    if isinstance(target, int) and not isinstance(target, bool):
        told.add(target)
    elif isinstance(target, str):
        if target.isdecimal() and len(target) < 6:
            told.add(int(target))
        if choices.count(target) == 1:
            told.add(choices.index(target))
    told = {place for place in told if 0 <= place < len(choices)}
    acc = number(sample.get("acc"))
    best = lls.index(max(lls))
    if acc == 1.0 and (not told or best in told):
        return best
    if acc == 0.0:
        told = (told or (set(range(2)) if len(lls) == 2 else set())) - {best}
    return told.pop() if len(told) == 1 else None


def _continuations(arguments: Any) -> list[tuple[str, str]] | None:
    """Give context and continuation of each request, of the newer form or the older; None where none has one."""
    if isinstance(arguments, dict):
        rows: list[Any] = [
            [entry.get("arg_0"), entry.get("arg_1")] if isinstance(entry, dict) else entry
            for entry in arguments.values()
        ]
    else:
        rows = list(arguments)
    if rows and all(isinstance(row, str) for row in rows) and len(rows) == 2:
        rows = [rows]
    pairs = [
        (row[0], row[1])
        for row in rows
        if isinstance(row, list | tuple) and len(row) >= 2 and isinstance(row[0], str) and isinstance(row[1], str)
    ]
    return pairs if pairs and len(pairs) == len(rows) else None
