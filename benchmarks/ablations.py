"""The ablations of arXiv 2412.04403 on its own ladder, published beside ours; then noise, and runs in progress.

Run: python benchmarks/ablations.py [ablations,noise,progress]     (figures go to --figures FOLDER)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import polars as pl

from foretell import api
from foretell.errors import FitError, MethodError, TableError
from foretell.forecast import Settings
from foretell.judge.ablate import Ablation, Arm
from foretell.judge.noise import noise_of
from foretell.laws.schedule import Schedule
from foretell.methods import method_named
from foretell.methods.family_curve import kin_of, rest_of
from foretell.methods.in_progress import family_of, measured_end, outlook, watch
from foretell.methods.part_curve import PartCurve
from foretell.sources import read_olmo_ladder
from foretell.table import Observations
from protocols import testbeds

POINT = Settings(draws=0, starts=32)
TARGETS = ("7B-4T", "13B-5T")
PUBLISHED = {  # mean |error| in points: each procedure of the released code, run anew on its data
    "the whole ladder": (3.82, 4.17), "N ≤ 371M": (4.83, 5.13), "N ≤ 758M": (7.53, 8.17),
    "D/N ≤ 40": (4.62, 4.83), "D/N ≤ 100": (4.64, 5.02),
}  # fmt: skip
PUBLISHED_FORMS = {  # label: (options of the published procedure, figures)
    "task bpb, N and D": ({}, (3.82, 4.17)),
    "task bpb, compute alone": ({"from_compute": True}, (3.27, 3.54)),
    "task bpb, no ideal point": ({"ideal_point": False}, (5.78, 6.39)),
    "C4 loss": ({"intermediate": "c4/loss"}, (2.00, 3.45)),
    "C4 loss, no ideal point": ({"intermediate": "c4/loss", "ideal_point": False}, (4.48, 4.94)),
}
PUBLISHED_SD10 = {  # of task bits per byte, the last ten checkpoints of 1B-10xC
    "csqa": 0.0056, "openbookqa": 0.0047, "arc_easy": 0.0045, "arc_challenge": 0.0037, "mmlu": 0.0026,
    "socialiqa": 0.0024, "piqa": 0.0019, "hellaswag": 0.0007,
}  # fmt: skip
PUBLISHED_CORRELATION = (0.821, 0.855)  # of SD10 of accuracy with the link's error, 7B and 13B
WARMUP = 2160  # steps of the curves of 2503.12811, not in their files
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


def by_target(arm: Arm) -> list[float]:
    """Give the mean |error| of each target in points."""
    errors = arm.errors(share=True)
    return [100 * float(np.mean([e for (_, t), e in errors.items() if t == target] or [np.nan])) for target in TARGETS]


def pair(numbers: tuple[float, ...] | list[float] | None) -> str:
    return "" if numbers is None else " / ".join("none" if np.isnan(x) else f"{x:.2f}" for x in numbers)


def ablations(study: Observations, folder: Path | None) -> None:
    tasks = [name for name in study.metrics if name.endswith("/acc")]
    by = ["sizes", "horizons", "checkpoints"]
    theirs = api.ablate(study, tasks, by=by, method="ladder", as_published=True, settings=POINT)
    ours = api.ablate(study, tasks, by=by, settings=POINT)
    print("\n## Less of the OLMo ladder: mean |error| over 8 tasks, points, 7B-4T / 13B-5T\n")
    print("| kept | FLOP, % of 13B-5T | published | as published | `ladder` | against the whole |")
    print("|---|---|---|---|---|---|")
    for one, other in zip([theirs.whole, *theirs.arms], [ours.whole, *ours.arms], strict=True):
        difference, spread = ours.difference(other, share=True)
        print(
            f"| {one.label} | {100 * one.compute / theirs.target_compute:.2f} | {pair(PUBLISHED.get(one.label))} "
            f"| {pair(by_target(one))} | {pair(by_target(other))} | {100 * difference:+.2f} ± {100 * spread:.2f} |"
        )
    for name, made in (("as published", theirs), ("ladder", ours)):
        for finding in made.findings:
            print(f"\n{name}: {finding}")
    _draw(ours, folder, "ladder")
    _draw(theirs, folder, "published")
    print("\n## Other forms, the whole ladder\n\n| form | published | measured |\n|---|---|---|")
    for label, (options, published) in PUBLISHED_FORMS.items():
        made = api.ablate(study, tasks, by=[], method="ladder", as_published=True, settings=POINT, **options)
        print(f"| as published: {label} | {pair(published)} | {pair(by_target(made.whole))} |", flush=True)
    forms = api.ablate(study, tasks, by=["forms"], settings=POINT)
    for arm in (forms.whole, *forms.arms):
        print(f"| `ladder`: {arm.label} | | {pair(by_target(arm))} |")
    _draw(forms, folder, "ladder")


def _draw(made: Ablation, folder: Path | None, name: str) -> None:
    if folder is not None:
        from foretell.report.ablation_figure import draw_ablation

        folder.mkdir(parents=True, exist_ok=True)
        for kind in made.kinds:
            draw_ablation(made, kind, folder / f"{name}-{kind}.png")


def noise(study: Observations, folder: Path | None) -> None:
    print("\n## Noise over the last ten checkpoints of 1.3B-10xC, relative\n")
    print("| task | bpb, published | bpb | accuracy | signal/noise, bpb | signal/noise, accuracy | can be forecast |")
    print("|---|---|---|---|---|---|---|")
    tasks = sorted(PUBLISHED_SD10)
    bpb = {one.metric.name: one for one in noise_of(study, [f"{task}/bpb" for task in tasks])}
    acc = {one.metric.name: one for one in noise_of(study, [f"{task}/acc" for task in tasks])}
    for task in tasks:
        a, b = acc[f"{task}/acc"], bpb[f"{task}/bpb"]
        print(
            f"| {task} | {PUBLISHED_SD10[task]:.4f} | {b.last:.4f} | {a.last:.4f} | {b.ratio:.0f} | {a.ratio:.0f} "
            f"| {a.verdict} |"
        )
    # the link's error alone: accuracy read off at the loss that was measured
    published = method_named("ladder", as_published=True)
    smooth = study.training().drop_first(0.1).moving_average(5)
    found, relative = [], []
    for target in TARGETS:
        hidden = study.only_runs([target])
        errors = []
        for task in tasks:
            link = published.fit_link(smooth, f"{task}/bpb", study.metrics[f"{task}/acc"])  # type: ignore[attr-defined]
            loss, true = (float(hidden.metric(f"{task}/{what}").value[-1]) for what in ("bpb", "acc"))
            errors.append((abs(link.accuracy(loss) - true), true))
        spread = [acc[f"{task}/acc"].last for task in tasks]
        found.append(float(np.corrcoef(spread, [error for error, _ in errors])[0, 1]))
        relative.append(float(np.corrcoef(spread, [error / true for error, true in errors])[0, 1]))
    print(
        f"\nSD10 of accuracy and the link's error correlate: {pair(relative)} (relative error), "
        f"{pair(found)} (points), published {pair(PUBLISHED_CORRELATION)}"
    )
    if folder is not None:
        from foretell.report.ablation_figure import draw_noise

        draw_noise(list(acc.values()), folder / "noise.png")


def curves() -> dict[tuple[float, str], PartCurve]:
    """Give the public curves of 2503.12811."""
    frame = pl.read_csv(testbeds() / "multipower" / "loss_curves.csv").sort("step")
    made = {}
    for (N, schedule), rows in frame.group_by("N", "schedule", maintain_order=True):
        step, lr, loss = (rows[column].to_numpy().astype(np.float64) for column in ("step", "lr", "loss"))
        plan = Schedule.recorded(step, lr, warmup=WARMUP)
        made[float(str(N)), str(schedule)] = PartCurve(f"{float(str(N)) / 1e6:.0f}M {schedule}", step, loss, plan)
    return made


def row(what: str, share: float, found: list[tuple[float, bool, float]]) -> None:
    errors, inside, widths = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    print(
        f"| {what} | {share:.0%} | {len(found)} | {100 * errors.mean():.2f} | {100 * np.median(errors):.2f} "
        f"| {inside.mean():.0%} | {100 * widths.mean():.2f} |",
        flush=True,
    )


def progress() -> None:
    print("\n## Runs in progress: the end forecast from a first part\n")
    print(
        "| what | seen | n | mean error, % | median, % | 80 % covers | mean width, % |\n|---|---|---|---|---|---|---|"
    )
    public = curves()
    for kin_too in (False, True):
        what = "schedule law, lent the other size's" if kin_too else "schedule law, the curve alone"
        lent = {
            N: family_of([curve for (size, _), curve in public.items() if size != N]) if kin_too else None
            for N in {N for N, _ in public}
        }
        for share in SHARES:
            found = []
            for (N, _), curve in public.items():
                try:
                    made = outlook(curve.upto(share), lent=lent[N], draws=200)
                except (FitError, TableError):  # still in its warm-up
                    continue
                low, high = made.interval(0.8)
                end = measured_end(curve)
                found.append((abs(made.end / end - 1), low <= end <= high, (high - low) / end))
            row(what, share, found)
    whole = read_olmo_ladder(testbeds() / "olmo-ladder", all_files=True).training()
    names = [name for name in whole.runs["name"] if "rerun" not in name and "0.5xC" not in name]
    kin = kin_of(whole.only_runs(names), "c4/loss")
    for smaller in (False, True):
        what = "OLMo ladder and 3B, C4: kin that are smaller" if smaller else "OLMo ladder and 3B, C4: all other runs"
        for share in SHARES:
            found = []
            for run in kin:
                family = [one for one in kin if one.N < 0.9 * run.N] if smaller else kin
                try:
                    rest = rest_of(run, share, family)
                except MethodError:  # the smallest size has no smaller kin
                    continue
                low, high = rest.interval(0.8)
                end = float(np.exp(run.log_loss[-1]))
                found.append((abs(rest.end[0] / end - 1), low <= end <= high, (high - low) / end))
            row(what, share, found)
    print("\n### Alarms at a false-alarm rate of 5 %\n")
    healthy = [watch(curve, draws=100) for curve in public.values()]
    print(f"healthy public curves: {sum(one.alarm is not None for one in healthy)} of {len(healthy)}")
    for size in (0.01, 0.03, 0.1):  # of the loss, reached at the end by a run that leaves its curve half-way
        told = []
        for curve in public.values():
            half = len(curve.schedule) / 2
            off = np.exp(size * np.maximum(0.0, curve.step / half - 1.0))
            found = watch(PartCurve(curve.name, curve.step, curve.loss * off, curve.schedule), draws=100)
            told.append(found.alarm.at / len(curve.schedule) if found.alarm else np.nan)
        seen = [at for at in told if np.isfinite(at)]
        when = f", on average at {np.mean(seen):.0%} of the run" if seen else ""
        print(f"drifting from 50 % on to {size:+.0%} at the end: {len(seen)} of {len(told)} told{when}", flush=True)


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("parts", nargs="?", default="ablations,noise,progress")
    reader.add_argument("--figures", type=Path)
    asked = reader.parse_args()
    parts = asked.parts.split(",")
    if "ablations" in parts or "noise" in parts:
        study = read_olmo_ladder(testbeds() / "olmo-ladder")
        if "ablations" in parts:
            ablations(study, asked.figures)
        if "noise" in parts:
            noise(study, asked.figures)
    if "progress" in parts:
        progress()


if __name__ == "__main__":
    main()
