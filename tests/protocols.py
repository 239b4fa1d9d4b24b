"""The protocols of `testbeds/protocols.toml`, as fit studies and held-out rows.

`protocol(name)` gives groups, each with the rows that a method may see (`fit`) and those it is scored on (`test`); a
test row is never inside a fit. The files are read in place from FORETELL_TESTBEDS (default: ../shared/testbeds beside
the project), and their absence is an error, never a skip.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from foretell.sources import ColumnMap, read
from foretell.sources.columns import ROW, matching
from foretell.sources.datafile import read_frame
from foretell.sources.table import tabulate
from foretell.table import Observations

PROJECT = Path(__file__).resolve().parent.parent

# Chance levels: protocols.toml [olmo-ladder.tasks] for the tasks it lists; SciQ has four choices, Winogrande two,
# LAMBADA none. Items: sizes of the evaluation sets (measured: every accuracy of the Pythia file is k/items).
PYTHIA_CHANCE = {
    "arc_easy/acc": 0.25, "piqa/acc": 0.5, "sciq/acc": 0.25, "winogrande/acc": 0.5, "lambada_openai/acc": 0.0,
}  # fmt: skip
PYTHIA_ITEMS = {
    "arc_easy/acc": 2376, "piqa/acc": 1838, "sciq/acc": 1000, "winogrande/acc": 1267, "lambada_openai/acc": 5153,
}  # fmt: skip
GEMSTONES_CHANCE = {"acc_hellaswag": 0.25, "acc_arc_easy": 0.25, "acc_piqa": 0.5, "acc_mmlu": 0.25}
MULTIPOWER_BATCH = 524288  # tokens a step; a constant that only scales D


@dataclass(frozen=True)
class Group:
    """Hold one fit study and its held-out rows.

    `every_fit` keeps the rows that `fit` left out by choice (misfitting: all learning rates); `best_test` the test rows
    chosen alike.
    """

    name: str
    fit: Observations
    test: Observations | None
    every_fit: Observations | None = None
    best_test: Observations | None = None


@dataclass(frozen=True)
class Protocol:
    """Hold a protocol's groups and the metrics it is scored on."""

    name: str
    metrics: list[str]
    groups: list[Group]

    @property
    def fit(self) -> Observations:
        """Give the only group's fit study."""
        return self._only.fit

    @property
    def test(self) -> Observations:
        """Give the only group's held-out rows."""
        assert self._only.test is not None, f"protocol {self.name} holds nothing out"
        return self._only.test

    @property
    def _only(self) -> Group:
        assert len(self.groups) == 1, f"protocol {self.name} has {len(self.groups)} groups; choose one of .groups"
        return self.groups[0]


def testbeds() -> Path:
    """Give the folder of testbeds; raises RuntimeError when it is absent."""
    folder = Path(os.environ.get("FORETELL_TESTBEDS") or PROJECT.parent / "shared" / "testbeds").resolve()
    if not (folder / "protocols.toml").is_file():
        raise RuntimeError(
            f"there are no testbeds at {folder}; set FORETELL_TESTBEDS to the folder with protocols.toml"
        )
    return folder


testbeds.__test__ = False  # a name that pytest would otherwise take for a test


@functools.cache
def entries() -> dict[str, Any]:
    """Give protocols.toml."""
    return tomllib.loads((testbeds() / "protocols.toml").read_text(encoding="utf-8"))


@functools.cache
def protocol(name: str) -> Protocol:
    """Build a protocol by name; raises LookupError for an unknown one."""
    if name not in PROTOCOLS:
        raise LookupError(f"no protocol is called {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name](name)


# -- reading --------------------------------------------------------------------------------------------------------


@functools.cache
def _frame(file: str) -> pl.DataFrame:
    return read_frame(testbeds() / file)


def _table(frame: pl.DataFrame, label: str, *conditions: str | None, **mapping: Any) -> Observations:
    where = " AND ".join(f"({condition})" for condition in conditions if condition)
    return tabulate(frame, ColumnMap.of(where=where or None, **mapping), label=label)


def _count(frame: pl.DataFrame, *conditions: str | None) -> int:
    where = " AND ".join(f"({condition})" for condition in conditions if condition)
    return int(matching(frame.cast({pl.selectors.integer(): pl.Float64}).with_row_index(ROW), where).sum())


def _must(name: str, what: str, found: int, stated: int) -> None:
    if found != stated:
        raise RuntimeError(f"protocol {name}: {what} has {found} rows, {stated} are stated; the testbed has changed")


def _split(name: str, *, rows: str | None = None, **mapping: Any) -> Protocol:
    """Build a protocol of one file from its `fit` and `test` conditions, and check the stated counts."""
    entry = entries()[name]
    frame = _frame(entry["file"])
    for part in ("fit", "test"):
        if f"n_{part}" in entry:
            _must(name, part, _count(frame, rows, entry[part]), entry[f"n_{part}"])
    parts = [_table(frame, name, rows, entry[part], **mapping) for part in ("fit", "test")]
    return Protocol(name, sorted(parts[0].metrics), [Group(name, *parts)])


def _random_splits(name: str, whole: Observations, label: str, n_fit: int, repeats: int = 20) -> list[Group]:
    """Split the runs at random, `repeats` times, from one default_rng(0) over the runs in order of name."""
    rng = np.random.default_rng(0)
    runs = np.array(whole.runs["name"].to_list())
    groups = []
    for i in range(repeats):
        order = rng.permutation(len(runs))
        fit, test = runs[order[:n_fit]], runs[order[n_fit:]]
        groups.append(Group(f"{label} {i}".strip(), whole.only_runs(fit), whole.only_runs(test) if len(test) else None))
    return groups


# -- protocols ------------------------------------------------------------------------------------------------------


def _olmo_ladder(name: str) -> Protocol:
    whole = read("olmo-ladder", testbeds() / "olmo-ladder")
    metrics = [f"{task}/acc" for task in entries()[name]["tasks"]]
    return Protocol(name, metrics, [Group(name, whole.training(), whole.held_out())])


GADRE_SMALL = "shape IN ('d=96_l=8_h=4', 'd=512_l=8_h=4', 'd=576_l=24_h=8', 'd=1024_l=24_h=8') AND multiplier = 1"
GADRE_PAPER = f"({GADRE_SMALL}) OR (shape = 'd=96_l=8_h=4' AND multiplier = 16)"
GADRE_TARGETS = "(shape = 'open_lm_1b' AND multiplier > 1) OR shape = 'open_lm_7b'"
GADRE_FITS = {  # the protocol's three sets of runs to fit, each within one training set
    "gadre": (GADRE_PAPER, 5),
    "gadre.paper-error": (f"{GADRE_PAPER} OR (shape = 'open_lm_1b' AND multiplier = 1)", 6),
    "gadre.open": ("N_total <= 411616256 OR (shape = 'open_lm_1b' AND multiplier = 1)", None),
}


def _gadre(name: str) -> Protocol:
    whole = read("gadre", testbeds() / "gadre")
    condition, stated = GADRE_FITS[name]
    groups = []
    for family in ("c4", "rpj", "rw"):
        mine = whole.where(f"family = '{family}'")
        fit, test = mine.where(condition), mine.where(GADRE_TARGETS)
        _must(name, f"test of {family}", len(test.runs), 2)
        if stated is not None:
            _must(name, f"fit of {family}", len(fit.runs), stated)
        groups.append(Group(family, fit, test))
    return Protocol(name, sorted(whole.metrics), groups)


CHINCHILLA = {"N": "Model Size", "D": "Training FLOP/(6*Model Size)", "C": "Training FLOP", "metric": "loss"}


def _chinchilla(name: str) -> Protocol:
    frame = _frame(entries()[name]["file"])
    sixth = frame["loss"].sort(descending=True)[5]
    fit = _table(frame, name, f"loss <= {sixth!r}", **CHINCHILLA)
    _must(name, "fit", len(fit.runs), 240)
    return Protocol(name, ["loss"], [Group(name, fit, None)])


def _chinchilla_progressive(name: str) -> Protocol:
    frame = _frame(entries()["chinchilla"]["file"])
    computes = frame.filter(pl.col("loss") < 4)["Training FLOP"].sort()
    groups = []
    for share in (0.3, 0.5, 0.7):
        n_fit = int(share * len(computes))
        cut = computes[n_fit - 1]
        fit = _table(frame, "chinchilla", "loss < 4", f"Training FLOP <= {cut!r}", **CHINCHILLA)
        test = _table(frame, "chinchilla", "loss < 4", f"Training FLOP > {cut!r}", **CHINCHILLA)
        _must(name, f"{share:.0%}", len(fit.runs), n_fit)
        groups.append(Group(f"{share:.0%}", fit, test))
    return Protocol(name, ["loss"], groups)


def _farseer(name: str) -> Protocol:
    frame = _frame(entries()[name]["file"])
    cut = (6.0 * frame["N"] * frame["D"]).sort()[201]
    parts = []
    for sign in ("<=", ">"):
        parts.append(_table(frame, name, f"6.0 * N * D {sign} {cut!r}", N="N", D="D", metric="loss"))
        _must(name, sign, len(parts[-1].runs), 202)
    return Protocol(name, ["loss"], [Group(name, *parts)])


def _misfitting(name: str) -> Protocol:
    made = _split(
        name, run=["model", "total_steps", "peak_lr", "sweep"], N="N_no_emb", N_total="N", D="D", law_N="N",
        attribute={"lr": "peak_lr", "model": "model"}, metric="loss", replicates=True,
    )  # fmt: skip
    return Protocol(name, made.metrics, [Group(name, _best(made.fit), made.test, made.fit, _best(made.test))])


def _best(study: Observations) -> Observations:
    """Keep the run of lowest loss of each (model, D): the best learning rate."""
    ends = study.values.join(study.runs.select("name", "model"), left_on="run", right_on="name")
    return study.only_runs(ends.sort("value", "run").group_by("model", "D", maintain_order=True).first()["run"])


def _porian(name: str) -> Protocol:
    entry = entries()[name]
    frame = _frame(entry["file"])
    groups = []
    for key in frame.select(entry["group"]).unique().sort(entry["group"]).iter_rows():
        of_group = " AND ".join(f"{column} = '{value}'" for column, value in zip(entry["group"], key, strict=True))
        parts = [
            _table(frame, name, of_group, entry[part], N="N", D="D", C="flops", metric="loss")
            for part in ("fit", "test")
        ]
        groups.append(Group("/".join(key), *parts))
    return Protocol(name, ["loss"], groups)


def _gemstones(name: str) -> Protocol:
    metrics = entries()[name]["metric"]
    return _split(
        name, run=["model"], N_total="N", D="tokens", C="flops_6ND", step="step", metric=metrics,
        attribute={"width": "width", "depth": "depth"}, chance=GEMSTONES_CHANCE,
    )  # fmt: skip


def _pythia(name: str) -> Protocol:
    entry = entries()[name]
    accuracies = [f"{metric}={metric.replace('/', '|')}" for metric in PYTHIA_CHANCE]
    return _split(
        name, rows=f"D > 0 AND {entry['rows']}", run=entry["run"], N="N_nonemb", N_total="N_total", D="D", step="step",
        metric=["lambada_openai/loss=log(lambada_openai|ppl)", *accuracies], chance=PYTHIA_CHANCE, items=PYTHIA_ITEMS,
    )  # fmt: skip


def _marin(name: str) -> Protocol:
    entry = entries()[name]
    frame = _frame(entry["file"])
    for part in ("fit", "test"):
        _must(name, part, _count(frame, entry[part]), entry[f"n_{part}"])
    mapping = {"run": "run", "N": "N", "D": "D", "C": "flops", "family": "data", "metric": entry["metric"]}
    groups = [
        Group(data, *(_table(frame, name, f"data = '{data}'", entry[part], **mapping) for part in ("fit", "test")))
        for data in sorted(frame["data"].unique())
    ]
    return Protocol(name, [entry["metric"]], groups)


def _datablations(name: str) -> Protocol:
    return _split(name, run="run", N="N", D="D", U="U", metric="val_loss")


def _multipower(name: str) -> Protocol:
    return _split(
        name, rows=entries()[name]["rows"], run=["N", "schedule"], N="N", D=f"step*{MULTIPOWER_BATCH}", step="step",
        attribute={"lr": "lr", "schedule": "schedule"}, metric="loss",
    )  # fmt: skip


def _obsscaling(name: str) -> Protocol:
    """Fit below and score above 84e21 FLOP; the emergent tasks are those with eight models or more above."""
    entry = entries()[name]
    frame = _frame(entry["file"])
    tokens, flops = "Pretraining Data Size (T)", "FLOPs (1E21)"
    btlm = pl.col("Model").str.contains("btlm-3b")
    frame = frame.with_columns(pl.when(btlm).then(0.627).otherwise(pl.col(tokens)).alias(tokens)).with_columns(
        pl.when(btlm).then(6 * pl.col("Model Size (B)") * pl.col(tokens)).otherwise(pl.col(flops)).alias(flops)
    )  # 1e9 × 1e12 = 1e21: the product of the columns is already in the unit of the FLOPs
    mapping = {
        "run": "Model", "family": "Model Family", "N_total": "Model Size (B)*1e9", "D": f"`{tokens}`*1e12",
        "C": f"`{flops}`*1e21",
    }  # fmt: skip
    known = f"{flops} IS NOT NULL"
    benchmarks = frame.columns[5:]
    emergent = _frame("obsscaling/base_llm_emergent_capability_eval.csv")
    joined = emergent.join(frame, on="Model", how="left")
    above = joined.filter(pl.col(flops) > 84)
    tasks = [task for task in emergent.columns[1:] if above[task].count() >= 8]
    groups = []
    for label, table, metrics in (("benchmarks", frame, benchmarks), ("emergent", joined, tasks)):
        unit = {metric: "value" if metric.endswith("_bleu") else "accuracy" for metric in metrics}
        parts = [
            _table(table, name, known, entry[part], metric=metrics, unit=unit, **mapping) for part in ("fit", "test")
        ]
        groups.append(Group(label, *parts))
    return Protocol(name, [*benchmarks, *tasks], groups)


REGMIX = {"run": ["split", "index"], "N_total": "1e6", "D": "tokens", "weights": "w_*", "metric": "*/loss=loss_*"}


def _regmix(name: str) -> Protocol:
    return _split(name, **REGMIX)


def _regmix_small(name: str) -> Protocol:
    """Fit 64 of the 512 training mixtures, drawn 20 times; the test is the same each time."""
    whole = protocol("regmix")
    groups = [Group(g.name, g.fit, whole.test) for g in _random_splits(name, whole.fit, "", n_fit=64)]
    return Protocol(name, whole.metrics, groups)


def _five_mix(name: str) -> Protocol:
    entry = entries()[name]
    groups: list[Group] = []
    for size in ("160M", "70M"):
        whole = _table(
            _frame(entry["file"]), name, entry["rows"], f"model_size = '{size}'", run="run", N="nonemb_params", D="tokens",
            step="step", weights="w_*", metric="*/loss=loss_*",
        )  # fmt: skip
        _must(name, size, len(whole.runs), 26)
        groups += _random_splits(name, whole, size, n_fit=20)
    return Protocol(name, sorted(groups[0].fit.metrics), groups)


DMSL = {"run": ["mix_id", "model_size"], "N": "model_size", "D": "n_tokens", "weights": "w_*"}
DMSL_DOMAINS = ("arxiv", "book", "c4", "github", "commoncrawl", "stackexchange", "wikipedia")


def _dmsl(name: str) -> Protocol:
    entry = entries()["dmsl"]
    frame = _frame(entry["file"])
    mapping = {**DMSL, "metric": [f"{domain}/loss=loss_{domain}" for domain in DMSL_DOMAINS]}
    metrics = [f"{domain}/loss" for domain in DMSL_DOMAINS]
    if name == "dmsl.horizon":
        parts = [_table(frame, name, entry["rows"], entry["horizon"][part], **mapping) for part in ("fit", "test")]
        return Protocol(name, metrics, [Group(name, *parts)])
    whole = _table(frame, name, entry["rows"], entry["mixtures"]["rows"], **mapping)
    _must(name, "mixtures", len(whole.runs), 40)
    return Protocol(name, metrics, _random_splits(name, whole, "", n_fit=30))


def _repetition(name: str) -> Protocol:
    entry = entries()[name]
    frame = _frame(entry["file"])
    mapping = {
        "run": ["model", "design", "horizon_idx", "w_hq"], "N_total": "params_m*1e6", "D": "horizon_tokens", "weights": "w_*",
        "attribute": {"design": "design", "U_hq": "hq_pool_tokens", "epochs": "hq_epochs"}, "metric": "hq/loss=val_loss_hq",
    }  # fmt: skip
    groups = [
        Group(model, *(_table(frame, name, f"model = '{model}'", entry[part], **mapping) for part in ("fit", "test")))
        for model in sorted(frame["model"].unique())
    ]
    return Protocol(name, ["hq/loss"], groups)


PROTOCOLS: dict[str, Callable[[str], Protocol]] = {
    "olmo-ladder": _olmo_ladder,
    **dict.fromkeys(GADRE_FITS, _gadre),
    "chinchilla": _chinchilla,
    "chinchilla.progressive": _chinchilla_progressive,
    "farseer": _farseer,
    "misfitting": _misfitting,
    "porian": _porian,
    "gemstones": _gemstones,
    "pythia": _pythia,
    "marin": _marin,
    "datablations": _datablations,
    "multipower": _multipower,
    "obsscaling": _obsscaling,
    "regmix": _regmix,
    "regmix.small": _regmix_small,
    "five-mix": _five_mix,
    "dmsl.horizon": _dmsl,
    "dmsl.mixtures": _dmsl,
    "repetition": _repetition,
}
