"""Gathering: what the rungs of a ladder have measured becomes the study's observations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import StudyError
from foretell.lm.rungfolder import RungFolder
from foretell.rung import Ladder, Rung
from foretell.table import Metric, Observations, Run, save_study

SOURCE = "foretell train"


def gather(ladder: Ladder, study: str | Path) -> Observations | None:
    """Join what has been measured so far into the study, and give it; None when nothing has.

    Each horizon of a rung is a run, measured at its end; the longest also carries what was measured along the trunk,
    before any cool-down. Gathering again adds what is new. Raises StudyError for a measurement that cannot be read.
    """
    folder = Path(study)
    runs: list[Run] = []
    metrics: dict[str, Metric] = {}
    rows: list[dict[str, Any]] = []
    for rung in ladder.rungs:
        measured = [_read(path) for path in sorted(RungFolder(folder, rung.name).measurements.glob("*.json"))]
        for D in rung.D:
            of_run = [one for one in measured if one["run"] == rung.run_name(D)]
            ends = [one for one in of_run if one["step"] == rung.steps(D)]
            if not ends:
                continue  # a run counts from its end on: before, it is not cooled down
            runs.append(run_of(rung, D, ends[0]))
            for one in of_run:
                told = {"run": one["run"], "D": float(one["D"]), "step": float(one["step"]), "C": one["C"]}
                for row in one["rows"]:
                    metric = Metric.model_validate(row["metric"])
                    metrics[metric.name] = metric
                    rows.append({**told, "metric": metric.name, **{k: row[k] for k in ("value", "items", "stderr")}})
    if not rows:
        return None
    made = Observations.of(runs, pl.DataFrame(rows, infer_schema_length=None), metrics.values())
    return save_study(made, folder, source=SOURCE)


def run_of(rung: Rung, D: int, end: dict[str, Any]) -> Run:
    """Describe the run of a horizon: its counts, its mixture, and what it took from each source by its end.

    U counts the tokens of all pools; for each source there are `U_…`, its pool, `unique_…`, the tokens of it that were
    seen, and `epochs_…`.
    """
    pools, usage = end["pools"], end["usage"]
    return Run(
        name=rung.run_name(D),
        N=rung.shape.N,
        N_total=rung.shape.N_total,
        D=rung.tokens(D),
        C=rung.shape.training_flop(rung.tokens(D)),
        U=sum(pools.values()),
        family=rung.family,
        held_out=rung.held_out,
        weights=dict(rung.weights),
        attributes={
            "learning_rate": rung.learning_rate,
            "batch_tokens": float(rung.step_tokens),
            "seed": float(rung.seed),
            "layers": float(rung.shape.layers),
            "width": float(rung.shape.width),
            "schedule": rung.schedule,
            "cooldown": rung.cooldown,
            "rung": rung.name,
            **{f"U_{name}": float(tokens) for name, tokens in pools.items()},
            **{f"unique_{name}": float(used["unique"]) for name, used in usage.items()},
            **{f"epochs_{name}": float(used["epochs"]) for name, used in usage.items()},
        },
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"the measurement {path} cannot be read: {error}; remove it and train again") from None
    return measured
