"""The 104 over-trained models of Gadre et al. (arXiv 2403.08540), from the JSON of mlfoundations/scaling."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import SourceError
from foretell.table import Metric, Observations, Run, metric_named
from foretell.units import TOKENS_PER_PARAMETER

FAMILIES = {"c4_original": "c4", "rpj": "rpj", "rw_original": "rw"}  # dataset_name → the training set's short name
ITEMS = {"arc_challenge": 1172}  # measured: every accuracy is k/1172; the metadata repeats ARC-Easy's 2376
LEVEL_95 = 1.959963984540054  # half-width of a 95 % normal interval, in standard errors
_TOLERANCE = 0.01  # D = 20 · multiplier · N holds exactly in the published files


def read_gadre(path: str | Path) -> Observations:
    """Read the folder `exp_data` (or one that holds it): 8 validation losses and 46 accuracies of each run.

    N_total = params, which the paper's law uses, N = params_no_embed; D = 20 · multiplier · params, C = 6 N_total D.
    Families are the training sets c4, rpj, rw. A loss's stderr is read off its 95 % interval over sequences. Nothing is
    held out. BBQ, Jeopardy and MMLU are means over categories, so their accuracy need not be k/items exactly. Raises
    SourceError when the folder is of another kind or a file in it is damaged.
    """
    folder = _find(Path(path))
    tasks = _tasks(folder / "eval_metadata.csv")
    runs: list[Run] = []
    values: list[dict[str, Any]] = []
    metrics: dict[str, Metric] = {}
    for file in sorted((folder / "models").glob("*.json")):
        try:
            run, losses = _model(_json(file))
            evaluation = _json(folder / "evals" / f"evaluation_{file.stem}_heavy.json")
            accuracies = {task: float(share) for task, share in evaluation["eval_metrics"]["icl"].items()}
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{file} is not a gadre run: {type(error).__name__} {error}; fetch the folder anew"
            ) from None
        runs.append(run)
        values += [{"run": run.name, "D": run.D, "C": run.C, **loss} for loss in losses]
        for task, share in accuracies.items():
            if task not in tasks:
                raise SourceError(
                    f"the task {task!r} of run {run.name!r} is not in eval_metadata.csv; fetch the folder anew"
                )
            name = f"{task}/acc"
            values.append({"run": run.name, "D": run.D, "C": run.C, "metric": name, "value": share, "stderr": None})
            items, chance = tasks[task]
            metrics[name] = metric_named(name, items=items, chance=chance)
    for loss in {value["metric"] for value in values} - set(metrics):
        metrics[loss] = metric_named(loss)
    return Observations.of(
        runs,
        pl.DataFrame(values, schema_overrides={"stderr": pl.Float64}),
        metrics.values(),
        law_N="N_total",
        rows="final",
        final_mean=1,
        shared_loss="c4/loss",
    )


def _find(path: Path) -> Path:
    for folder in (path, path / "exp_data", path / "gadre" / "exp_data"):
        if (folder / "models").is_dir() and (folder / "evals").is_dir():
            if not any((folder / "models").glob("*.json")):
                raise SourceError(f"{folder / 'models'} holds no JSON files; fetch mlfoundations/scaling anew")
            return folder
    what = "is not a folder of the gadre kind" if path.is_dir() else "is not a folder"
    raise SourceError(f"{path} {what}: expected exp_data with models/ and evals/, as in mlfoundations/scaling")


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{file} cannot be read: {error}; fetch the folder anew") from None
    if not isinstance(content, dict):
        raise SourceError(f"{file} holds no JSON object; fetch the folder anew")
    return content


def _tasks(file: Path) -> dict[str, tuple[int, float]]:
    """Read each task's number of items and chance level (a percentage in the file)."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return {
                row["Eval Task"]: (
                    ITEMS.get(row["Eval Task"], int(row["#datapoints"])),
                    float(row["Random baseline"]) / 100,
                )
                for row in csv.DictReader(lines)
            }
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise SourceError(f"{file} cannot be read: {error}; fetch the folder anew") from None


def _model(content: dict[str, Any]) -> tuple[Run, list[dict[str, Any]]]:
    setting = content["hyperparameters"]
    name = str(content["name"])
    N_total = float(setting["params"])
    D = TOKENS_PER_PARAMETER * float(setting["chinchilla_multiplier"]) * N_total
    if abs(float(setting["tokens"]) / D - 1) > _TOLERANCE:
        raise SourceError(
            f"run {name!r} states {setting['tokens']} tokens, but 20 · multiplier · params is {D:.0f}; "
            "fetch the folder anew"
        )
    arguments = [str(argument) for argument in content["open_lm_args"]]
    attributes: dict[str, float | str] = {
        "lr": float(setting["lr"]),
        "lr_end": float(setting["cd"]),
        "wd": float(setting["wd"]),
        "warmup": float(setting["warmup"]),
        "batch": float(setting["global_bs"]),
        "z_loss": float(setting["z_loss"]),
        "multiplier": float(setting["chinchilla_multiplier"]),
        "shape": Path(setting["model"]).stem,
    }
    if "--remote-sync" in arguments:  # s3://BUCKET/…: where the run was trained
        attributes["site"] = arguments[arguments.index("--remote-sync") + 1].split("/")[2]
    run = Run(
        name=name,
        family=FAMILIES.get(content["dataset_name"], content["dataset_name"]),
        N=float(setting["params_no_embed"]),
        N_total=N_total,
        D=D,
        C=6.0 * N_total * D,
        attributes=attributes,
    )
    losses = [
        {
            "metric": _loss_name(result["val_data"][0]),
            "value": float(result["loss"]),
            "stderr": (result["loss_sequences_upper_95"] - result["loss_sequences_lower_95"]) / (2 * LEVEL_95),
        }
        for result in content["results"]
    ]
    return run, losses


def _loss_name(data: str) -> str:
    """Name a loss by the folder of its validation data: `…/c4_val/shard-….tar` gives `c4/loss`."""
    return Path(data).parent.name.removesuffix("_val").replace("-", "_") + "/loss"
