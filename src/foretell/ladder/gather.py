"""Gathering: what the rungs of a ladder have measured becomes the study's observations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import StudyError
from foretell.rung import Ladder, Rung
from foretell.table import Metric, Observations, Run, save_study

RUNGS = "rungs"
SOURCE = "foretell train"


def gather(ladder: Ladder, study: str | Path) -> Observations | None:
    """Join what has been measured so far into the study, and give it; None when nothing has.

    Each horizon of a rung is a run, measured at its end; the longest also carries what was measured along the trunk,
    before any cool-down. Gathering again adds what is new. Raises StudyError for a measurement that cannot be read.
    """
    folder = Path(study)
    runs: dict[str, Run] = {}
    metrics: dict[str, Metric] = {}
    rows: list[dict[str, Any]] = []
    for rung in ladder.rungs:
        for path in sorted((folder / RUNGS / rung.name / "measured").glob("*.json")):
            measured = _read(path)
            D = next((D for D in rung.D if rung.run_name(D) == measured["run"]), None)
            if D is None:
                continue  # a horizon that the ladder no longer asks for
            runs.setdefault(measured["run"], run_of(rung, D, measured["pools"]))
            for row in measured["rows"]:
                metric = Metric.model_validate(row["metric"])
                metrics[metric.name] = metric
                rows.append(
                    {
                        "run": measured["run"],
                        "D": float(measured["D"]),
                        "step": float(measured["step"]),
                        "C": measured["C"],
                        "metric": metric.name,
                        "value": row["value"],
                        "items": row["items"],
                        "stderr": row["stderr"],
                    }
                )
    ended = {row["run"] for row in rows if row["step"] == _last_step(ladder, row["run"])}
    rows = [row for row in rows if row["run"] in ended]  # a run counts from its end on: before, it is not cooled down
    if not rows:
        return None
    frame = pl.DataFrame(rows, infer_schema_length=None)
    made = Observations.of(
        [runs[name] for name in sorted(ended)], frame, [metrics[name] for name in set(frame["metric"])]
    )
    return save_study(made, folder, source=SOURCE)


def run_of(rung: Rung, D: int, pools: dict[str, int]) -> Run:
    """Describe the run of a horizon: its counts, mixture, and what tells it from others."""
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
        },
    )


def _last_step(ladder: Ladder, run: str) -> int:
    return next(rung.steps(D) for rung in ladder.rungs for D in rung.D if rung.run_name(D) == run)


def _read(path: Path) -> dict[str, Any]:
    try:
        measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"the measurement {path} cannot be read: {error}; remove it and train again") from None
    return measured
