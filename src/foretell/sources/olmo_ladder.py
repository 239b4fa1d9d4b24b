"""The OLMo ladder (Bhagia et al. 2024, arXiv 2412.04403), from the CSVs of allenai/OLMo-ladder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from foretell.errors import SourceError
from foretell.table import Metric, Observations, Run, metric_named
from foretell.table.metric import Unit


@dataclass(frozen=True)
class OlmoTask:
    """Name a task's columns, its chance level and its number of questions."""

    columns: tuple[str, ...]
    chance: float
    items: int
    weights: tuple[float, ...] = (1.0,)


# Names, weights, chance and items: testbeds/protocols.toml [olmo-ladder.tasks].
TASKS = {
    "hellaswag": OlmoTask(("hellaswag_val_rc_5shot",), 0.25, 10042),
    "arc_challenge": OlmoTask(("arc_challenge_test_rc_5shot",), 0.25, 1172),
    "arc_easy": OlmoTask(("arc_easy_test_rc_5shot",), 0.25, 2376),
    "piqa": OlmoTask(("piqa_val_rc_5shot",), 0.5, 1838),
    "csqa": OlmoTask(("csqa_val_rc_5shot",), 0.2, 1221),
    "socialiqa": OlmoTask(("socialiqa_val_rc_5shot",), 0.3333, 1954),
    "openbookqa": OlmoTask(("openbookqa_test_rc_5shot",), 0.25, 500),
    "mmlu": OlmoTask(
        tuple(f"mmlu_{part}_test_rc_5shot" for part in ("stem", "humanities", "social_sciences", "other")),
        0.25,
        14042,
        (0.215, 0.335, 0.219, 0.231),
    ),
}
MEASURES: dict[str, tuple[str, Unit]] = {  # metric → the column's pattern, its unit
    "acc": ("eval/downstream/{}_len_norm", "accuracy"),
    "bpb": ("eval/downstream_bpb/{}_bpb", "bits/byte"),
    "soft": ("eval/downstream_soft/{}_soft", "value"),
    "soft_log": ("eval/downstream_soft_log/{}_soft_log", "value"),
}
LOSSES = {
    "c4": "c4_en",
    "dolma_books": "dolma_books",
    "dolma_common_crawl": "dolma_common-crawl",
    "dolma_pes2o": "dolma_pes2o",
    "dolma_reddit": "dolma_reddit",
    "dolma_stack": "dolma_stack",
    "dolma_wiki": "dolma_wiki",
    "ice": "ice",
    "m2d2_s2orc": "m2d2_s2orc",
    "pile": "pile",
    "wikitext_103": "wikitext_103",
}
TOKENS, STEP, BATCH = "throughput/total_tokens", "_step", "batch_size_in_tokens"
N_3B = 3169537280.0  # not in the configs; src/scripts of the repository: MODEL_PARAMS["3B"]
FINAL_MEAN = 5  # the paper's final value: mean of the last five checkpoints
_CSVS = ("ladder-runs", "data/ladder-runs", "src/scripts/paper/data/ladder-runs")


@dataclass(frozen=True)
class OlmoModel:
    """Describe one model size of the config."""

    label: str
    N: float
    flops: float | None
    held_out: bool


def read_olmo_ladder(path: str | Path, *, all_files: bool = False) -> Observations:
    """Read the 16 runs of `configs/final.json`, and its two targets as runs held out.

    `path` is the folder that holds `configs` and `ladder-runs`, or a checkout. With `all_files` every other CSV is read
    as well: the 3B, 0.5xC and rerun files as runs, other evaluations of the targets as runs held out. One row a
    checkpoint; D is the column of tokens, or step × batch where that is missing; C is D × the config's FLOP per token
    (3B: unknown, so 6ND).
    Raises SourceError when the folder is of another kind, or a file in it is missing or damaged.
    """
    config, folder = _find(Path(path))
    models = _models(config)
    runs: list[Run] = []
    frames: list[pl.DataFrame] = []
    notes: list[str] = []
    for file, (name, model) in sorted(_files(models, folder, all_files=all_files).items()):
        frame, dropped = _read_csv(file, model)
        if dropped:
            notes.append(f"{name}: {dropped} rows at step 0 left out, no token had been seen")
        last = frame.select(pl.col("D", "C").sort_by("D").last()).row(0)
        runs.append(
            Run(name=name, family="olmo-ladder", N=model.N, D=last[0], C=last[1], held_out=model.held_out,
                attributes={"size": model.label})
        )  # fmt: skip
        frames.append(
            frame.unpivot(index=["D", "C", "step"], variable_name="metric", value_name="value").with_columns(
                run=pl.lit(name)
            )
        )
    values = pl.concat(frames)
    holes = values["value"].null_count()
    if holes:
        notes.append(f"{holes} cells are empty")
    return Observations.of(
        runs,
        values.drop_nulls("value"),
        _metrics(),
        law_N="N",
        rows="final",
        final_mean=FINAL_MEAN,
        shared_loss="c4/loss",
        notes=tuple(notes),
    )


def _metrics() -> list[Metric]:
    found = [metric_named(f"{name}/loss") for name in LOSSES]
    for name, task in TASKS.items():
        for measure, (_, unit) in MEASURES.items():
            limits: dict[str, Any] = {"chance": task.chance, "items": task.items} if measure == "acc" else {}
            better: Any = "lower" if measure == "bpb" else "higher"
            found.append(Metric(name=f"{name}/{measure}", unit=unit, better=better, **limits))
    return found


def _columns() -> dict[str, pl.Expr]:
    found = {f"{name}/loss": pl.col(f"eval/{column}-validation/CrossEntropyLoss") for name, column in LOSSES.items()}
    for name, task in TASKS.items():
        for measure, (pattern, _) in MEASURES.items():
            parts = [
                pl.col(pattern.format(column)) * weight
                for column, weight in zip(task.columns, task.weights, strict=True)
            ]
            found[f"{name}/{measure}"] = parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])
    return found


def _find(path: Path) -> tuple[Path, Path]:
    for root in (path, path / "olmo-ladder", path / "src" / "scripts" / "paper"):
        config = root / "configs" / "final.json"
        for csvs in _CSVS:
            if config.is_file() and (root / csvs).is_dir():
                return config, root / csvs
    what = "is not a folder of the olmo-ladder kind" if path.is_dir() else "is not a folder"
    raise SourceError(f"{path} {what}: expected configs/final.json and ladder-runs/, as in allenai/OLMo-ladder")


def _models(config: Path) -> dict[str, OlmoModel]:
    """Give the model of each file of the config, by the file's name, in the config's order."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        return {
            Path(file).name: OlmoModel(
                label=entry["label"],
                N=float(entry["n"]),
                flops=float(entry["flops"]),
                held_out=entry["mode"] != "train",
            )
            for entry in content.values()
            for file in entry["paths"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{config} is not a ladder's config: {type(error).__name__} {error}; fetch it anew") from None


def _files(models: dict[str, OlmoModel], folder: Path, *, all_files: bool) -> dict[Path, tuple[str, OlmoModel]]:
    """Give each file to read its run's name and model."""
    sizes: dict[str, OlmoModel] = {}
    found: dict[Path, tuple[str, OlmoModel]] = {}
    for file, model in models.items():
        size, _, rest = file.removesuffix(".csv").partition("_" if model.held_out else "-")
        sizes[size] = model
        found[folder / file] = (model.label if model.held_out else f"{model.label}-{rest}", model)
    missing = sorted(file.name for file in found if not file.is_file())
    if missing:
        raise SourceError(f"{folder} lacks {', '.join(missing)}, which configs/final.json names; fetch the folder anew")
    if not all_files:
        return found
    sizes.setdefault("3B", OlmoModel("3B", N_3B, None, held_out=False))
    for other in sorted(folder.glob("*.csv")):
        if other in found:
            continue
        stem = other.name.removesuffix(".csv")
        size, _, rest = stem.partition("_" if "_" in stem else "-")
        if size not in sizes:
            raise SourceError(f"{other.name} is of the unknown size {size!r}; known: {', '.join(sorted(sizes))}")
        model = sizes[size]
        found[other] = (stem if model.held_out else f"{model.label}-{rest}", model)
    return found


def _read_csv(file: Path, model: OlmoModel) -> tuple[pl.DataFrame, int]:
    """Read one run's checkpoints, the wanted columns only; give also how many rows were left out at step 0."""
    columns = _columns()
    wanted = {name for column in columns.values() for name in column.meta.root_names()}
    try:
        scan = pl.scan_csv(file, infer_schema_length=0)
        present = set(scan.collect_schema().names())
        clocks = {TOKENS, STEP, BATCH} & present
        missing = sorted(wanted - present)
        if missing:
            raise SourceError(f"{file} lacks the column {missing[0]!r}; fetch the folder anew")
        if TOKENS not in present and not {STEP, BATCH} <= present:
            raise SourceError(
                f"{file} has neither {TOKENS} nor {STEP} and {BATCH}: D is unknown; fetch the folder anew"
            )
        raw = scan.select(sorted(wanted | clocks)).collect().cast(pl.Float64)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"{file} cannot be read: {reason}; fetch the folder anew") from None
    absent = [pl.lit(None, dtype=pl.Float64).alias(clock) for clock in (TOKENS, STEP, BATCH) if clock not in present]
    raw = raw.with_columns(absent).with_columns(
        D=pl.coalesce(pl.col(TOKENS), pl.col(STEP) * pl.col(BATCH)), step=pl.col(STEP)
    )
    if raw["D"].null_count():
        raise SourceError(f"{file} has rows without tokens and step: D is unknown; fetch the folder anew")
    frame = raw.filter(pl.col("D") > 0)
    flops = pl.lit(None, dtype=pl.Float64) if model.flops is None else pl.col("D") * model.flops
    return frame.select("D", "step", C=flops, **columns), len(raw) - len(frame)
