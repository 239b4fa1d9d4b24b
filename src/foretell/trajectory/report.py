"""A trace in words and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.methods.pooled import Pooling
from foretell.trajectory.rule import Category
from foretell.trajectory.sequences import SequenceCurve, Turning, option_gaps, turning_of, turns_over_size
from foretell.trajectory.trace import Trace


def text_lines(made: Trace) -> list[str]:
    """Say in a line each what overlaps, emerges, halts, turns, parts right from wrong, and helps."""
    return [
        *_overlap_lines(made),
        *_task_lines(made),
        *_turn_lines(made),
        *_gap_lines(made),
        *_predictor_lines(made),
        *_notes(made),
    ]


def _overlap_lines(made: Trace) -> list[str]:
    lines = []
    for category in (Category.STAGNATED, Category.UPWARD):
        found = [one for one in made.overlaps if one.category == category and np.isfinite(one.containment)]
        if found:
            start = max(one.start for one in found)
            late = [one for one in found if one.start == start]
            inside, chance, both = (
                float(np.mean([getattr(one, what) for one in late])) for what in ("containment", "expected", "jaccard")
            )
            lines.append(
                f"tokens {category.name.lower()} in a smaller model are so in a larger one: {inside:.0%} "
                f"({chance:.0%} by chance; Jaccard {both:.2f}; mean over {len(late)} pairs, from {start:g} % on)"
            )
    return lines


def _task_lines(made: Trace) -> list[str]:
    lines = []
    for task in made.tasks:
        pooling = task.pooling
        low, high = pooling.interval()
        verdict = "one curve fits all sizes" if pooling.one_fits_all() else "sizes differ"
        line = (
            f"{task.metric} against perplexity: {verdict} (error ratio {pooling.ratio:.2f}, "
            f"80 % [{low:.2f}, {high:.2f}]; F = {pooling.F:.2f}, p = {pooling.p:.2g})"
        )
        if task.emergence is not None:
            e = task.emergence
            low, high = np.exp(e.interval())
            line += (
                f"; {e.threshold:.0%} reached at perplexity {np.exp(e.loss):.3g} [{low:.3g}, {high:.3g}]"
                if np.isfinite(e.loss) and np.isfinite(low)
                else f"; {e.threshold:.0%} not surely reached within the data"
            )
        for name, score in (("linearity", task.linear), ("breakthroughness", task.sudden)):
            if task.emergence is not None and score is not None:
                line += f"; {name} {score[0]:.2f} [{score[1]:.2f}, {score[2]:.2f}]"
        lines.append(line)
    return lines


def _turn_lines(made: Trace) -> list[str]:
    lines = []
    for kind, name in dict.fromkeys((curve.kind, curve.name) for curve in made.texts):
        mine = sorted((c for c in made.texts if (c.kind, c.name) == (kind, name)), key=lambda one: (one.size, one.rung))
        told = [(curve, turning_of(curve)) for curve in mine]
        said = [
            f"{trend} {', '.join(_where(curve, of) for curve, of in told if of.trend == trend)}"
            for trend in ("falls", "halts", "turns")
            if any(of.trend == trend for _, of in told)
        ]
        inverse = "; rises with size" if turns_over_size(mine) else ""
        if said or inverse:
            lines.append(f"{kind}, {name}: {'; '.join(said)}{inverse}")
    return lines


def _gap_lines(made: Trace) -> list[str]:
    lines = []
    gaps = option_gaps(made.texts)
    for task in dict.fromkeys(one.task for one in gaps):
        told = [
            f"{one.rung} {f'{one.gap[0]:.2f} to ' if len(one.gap) > 1 else ''}{one.gap[-1]:.2f}"
            for one in gaps
            if one.task == task
        ]
        lines.append(f"options, {task}, loss of the wrong less that of the right: {', '.join(told)} nats a token")
    return lines


def _where(curve: SequenceCurve, of: Turning) -> str:
    """Name a curve's rung, and the validation perplexity at which it halts or turns."""
    return curve.rung if of.at is None else f"{curve.rung} (at {np.exp(curve.validation[of.at]):.3g})"


def _predictor_lines(made: Trace) -> list[str]:
    lines = []
    for one in made.predictors:
        low, high = one.interval()
        lines.append(
            f"token losses, {one.name}: {'kept' if one.kept else 'not kept'}; |error| {100 * one.forecast:.2f} points, "
            f"{100 * one.alone:.2f} by the validation loss alone; difference {100 * one.difference:+.2f} "
            f"[{100 * low:+.2f}, {100 * high:+.2f}] over {one.hidden} hidden runs"
        )
    return lines


def _notes(made: Trace) -> list[str]:
    return [f"note: {note}" for note in made.notes]


def pooling_json(of: Pooling, level: float = 0.8) -> dict[str, Any]:
    """Turn a comparison of curves into JSON."""
    return {
        "degree": of.degree, "n": of.n, "runs": of.runs, "sizes": list(of.sizes), "F": of.F, "df": list(of.df),
        "p": of.p, "pooled": of.pooled, "separate": of.separate, "ratio": of.ratio,
        "interval": list(of.interval(level)), "left_out": list(of.left_out), "one_fits_all": of.one_fits_all(level),
        "dropped": list(of.dropped),
    }  # fmt: skip


def _text_json(one: SequenceCurve) -> dict[str, Any]:
    turning = turning_of(one)
    return {
        "kind": one.kind, "name": one.name, "rung": one.rung, "N": one.size, "D": one.D.tolist(),
        "validation": one.validation.tolist(), "loss": one.loss.tolist(), "stderr": one.stderr.tolist(),
        "trend": turning.trend, "at": None if turning.at is None else float(one.D[turning.at]), "rise": turning.rise,
    }  # fmt: skip


def to_json(made: Trace) -> dict[str, Any]:
    """Turn a trace into JSON: shares, overlaps, comparisons with their intervals, curves of texts."""
    return {
        "probe": made.probe,
        "tokens": made.tokens,
        "loss": made.loss,
        "reference": made.reference,
        "trajectories": [
            {
                "run": path.run,
                "rung": path.rung,
                "N": path.size,
                "D": path.D.tolist(),
                "validation": path.validation.tolist(),
                "starts": [
                    {"start": start, **{c.name.lower(): float(shares[c]) for c in Category}}
                    for start, shares in zip(path.categories.starts, path.categories.shares, strict=True)
                ],
                "category_losses": {c.name.lower(): path.means[:, c].tolist() for c in Category},
            }
            for path in made.paths
        ],
        "overlaps": [
            {
                "smaller": one.smaller, "larger": one.larger, "category": one.category.name.lower(),
                "start": one.start, "jaccard": one.jaccard, "containment": one.containment, "expected": one.expected,
            }
            for one in made.overlaps
        ],
        "alignments": {
            one.name: {axis: pooling_json(of) for axis, of in one.by.items()}
            for one in (*made.alignments, *(task.alignment for task in made.tasks))
        },
        "tasks": [
            {
                "metric": task.metric,
                "pooling": pooling_json(task.pooling),
                "between_runs": None if task.between_runs is None else pooling_json(task.between_runs),
                "linearity": None if task.linear is None else list(task.linear),
                "breakthroughness": None if task.sudden is None else list(task.sudden),
                "emergence": None
                if task.emergence is None
                else {
                    "threshold": task.emergence.threshold, "loss": task.emergence.loss,
                    "interval": list(task.emergence.interval()), "found": task.emergence.found,
                },
            }
            for task in made.tasks
        ],
        "texts": [_text_json(one) for one in made.texts],
        "option_gaps": [
            {
                "task": one.task, "rung": one.rung, "N": one.size, "D": one.D.tolist(),
                "validation": one.validation.tolist(), "gap": one.gap.tolist(),
            }
            for one in option_gaps(made.texts)
        ],
        "predictors": [
            {
                "name": one.name, "observed": one.observed, "observed_alone": one.observed_alone,
                "forecast": one.forecast, "alone": one.alone, "difference": one.difference,
                "interval": list(one.interval()), "kept": one.kept, "hidden": one.hidden,
            }
            for one in made.predictors
        ],
        "notes": list(made.notes),
    }  # fmt: skip
