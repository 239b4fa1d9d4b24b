"""What a notebook or the command line asks for: open, forecast, backtest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from foretell.errors import ExecuteError, FitError, FormulaError, MethodError, TableError
from foretell.fitting import Fit, Objective, fit, redraw_noise, resample_runs
from foretell.forecast import Forecasts, Method, Settings, Target, held_out_targets
from foretell.forecast.data_doubts import data_doubts
from foretell.judge import Backtest, Comparison, splits_of, widened
from foretell.judge import backtest as backtest_splits
from foretell.judge.ablate import KINDS, Ablation
from foretell.judge.ablate import ablate as ablate_ladder
from foretell.laws import Law, law_named
from foretell.methods import DEFAULT, METHODS, method_named
from foretell.table import Metric, Observations, open_study
from foretell.units import parse_compute, parse_count, parse_tokens

if TYPE_CHECKING:
    from foretell.execute import Ended
    from foretell.judge.calibration import Calibration
    from foretell.methods.in_progress import Outlook
    from foretell.methods.leaving import Watch
    from foretell.methods.part_curve import Decay

FORM_LAWS = ("skaling", "chinchilla", "chinchilla-tied", "power-C")  # of a loss, from rich to plain
FORM_LINKS = ("sigmoid-floor", "sigmoid-fixed", "exponential", "linear")
WITHOUT_LOSS = ("cluster", "direct", "observational")  # methods that read shares alone
RESAMPLERS = {"runs": resample_runs, "noise": redraw_noise}


def target(
    N: str | float, D: str | float, C: str | float | None = None, name: str = "", **inputs: str | float
) -> Target:
    """Make a target from quantities as people write them: `target("13B", "5T")`, `target("7B", "10xC", U="1T")`.

    `inputs` are what else a law needs of the run, such as U or a learning rate.
    """
    parameters = parse_count(N, "N")
    more = {key: parse_count(value, key) for key, value in inputs.items()}
    return Target(parameters, parse_tokens(D, parameters), None if C is None else parse_compute(C), name, inputs=more)


def metrics_of(observations: Observations, wanted: Sequence[str] = ()) -> list[str]:
    """Name the metrics that are meant: those wanted (a task `arc_easy` means `arc_easy/acc`), or every accuracy.

    Without accuracies, every loss; without those, every metric. Raises UnknownName for a metric that is not there.
    """
    known = observations.metrics
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted:
        as_task = [f"{name}/acc" if name not in known and f"{name}/acc" in known else name for name in wanted]
        return [observations.metric_named(name).name for name in as_task]

    def named(of: Callable[[Metric], bool]) -> list[str]:
        return [name for name, metric in known.items() if of(metric)]

    return named(lambda m: m.is_share) or named(lambda m: m.is_loss) or sorted(known)


def predict(
    observations: Observations,
    targets: Target | Sequence[Target] = (),
    metrics: str | Sequence[str] = (),
    *,
    method: str | Method = DEFAULT,
    settings: Settings | None = None,
    failures: list[str] | None = None,
    **options: Any,
) -> Forecasts:
    """Forecast metrics of targets (or of one), with every part of the interval that `settings` asks for.

    Without targets, the runs that are held out are forecast; without metrics, every task. `options` are the method's
    own. Where several metrics are asked for, those that cannot be forecast are written to `failures`; raises the first
    error where none can, or where `failures` is not given.
    """
    chosen = method_named(method, **options) if isinstance(method, str) else method
    how = settings or Settings()
    aims = ([targets] if isinstance(targets, Target) else list(targets)) or held_out_targets(observations)
    if not aims:
        raise MethodError("there is no target: give N and D, or a study that holds runs out")
    training = observations.training()
    names = metrics_of(observations, metrics)

    def forecast(of: Sequence[str]) -> Forecasts:
        made = widened(chosen, training, chosen.forecast(training, aims, of, how), how)
        pooled = [] if options.get("family") else study_doubts(training)
        through = str(options.get("intermediate") or "")
        told = {one.metric.name for one in made}
        of_rows = data_doubts(training, told, through, loss=chosen.name not in WITHOUT_LOSS)
        return Forecasts(
            replace(one, doubts=(*one.doubts, *unsaid(one.doubts, of_rows[one.metric.name]), *pooled)) for one in made
        )

    try:
        return forecast(names)
    except (FitError, FormulaError, MethodError):
        if failures is None or len(names) == 1:
            raise
    made = Forecasts()
    for name in names:
        try:
            made += forecast([name])
        except (FitError, FormulaError, MethodError) as error:
            failures.append(f"{name}: {error}")
    if not made:
        raise MethodError(f"no metric could be forecast; the first: {failures[0]}")
    return made


def unsaid(said: Sequence[str], doubts: Sequence[str]) -> list[str]:
    """Keep the doubts whose kind, the words before the colon, no doubt that was said begins with."""
    return [doubt for doubt in doubts if not any(other.startswith(doubt.partition(":")[0]) for other in said)]


def study_doubts(training: Observations) -> list[str]:
    """List the doubts that hold of the runs as a whole: several families fitted as one."""
    families = sorted(set(training.runs["family"]))
    if len(families) < 2:
        return []
    alone = training.runs.group_by("family").len().filter(pl.col("len") == 1)["family"].sort().to_list()
    single = f", of one run: {', '.join(alone[:3])}{', …' if len(alone) > 3 else ''}" if alone else ""
    named = ", ".join(families[:3]) + (", …" if len(families) > 3 else "")
    which = f"{len(families)} ({named}{single})"
    return [f"several families: {which} are fitted as one; choose one with --where \"family = '…'\""]


def backtest(
    observations: Observations,
    metrics: Sequence[str] = (),
    *,
    by: str = "C",
    method: str | Method = DEFAULT,
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> Backtest:
    """Backtest a method on hold-outs by C, N, D, family, or on the runs held out."""
    chosen = method_named(method, **options) if isinstance(method, str) else method
    names = metrics_of(observations, metrics)
    return backtest_splits(
        chosen, splits_of(observations, by), names, settings or Settings(draws=400), progress=progress
    )


def compare(
    observations: Observations,
    metrics: Sequence[str] = (),
    *,
    by: str = "C",
    methods: Sequence[str] = (),
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda _: None,
    on: str = "",
    options: Mapping[str, Any] | None = None,
    folder: str | Path = "",
) -> Comparison:
    """Backtest methods (all, where none is named) on the same hidden rows; give them, and what could not be compared.

    Without metrics, every loss and every accuracy. `on` spreads the work over an executor (local, ray or slurm, with
    its `options`), one job for each method and hold-out, by way of `folder`, which every worker sees; the result is the
    same. Raises MethodError when no method could forecast anything.
    """
    splits = splits_of(observations, by)
    names = (
        metrics_of(observations, metrics)
        if metrics
        else [name for name, metric in observations.metrics.items() if metric.is_loss or metric.is_share]
    )
    how = settings or Settings(draws=200)
    made: list[Backtest] = []
    failures: list[str] = []
    if on:
        from foretell.methods.spread import compare_on

        if not folder:
            raise ExecuteError("work that is spread over workers needs a folder that all of them see; give one")

        def told(ended: Ended) -> None:
            progress(f"{ended.name}: {ended.state}")

        chosen = list(methods or METHODS)
        made, failures = compare_on(
            observations, chosen, names, how, folder, by=by, on=on, options=options, on_end=told
        )  # fmt: skip
    for name in methods or METHODS if not on else ():
        progress(name)
        try:
            made.append(backtest_splits(method_named(name), splits, names, how))
        except MethodError as error:
            failures.append(f"{name}: {error}")
    if not made:
        raise MethodError(f"no method could be compared; the first: {failures[0]}")
    return Comparison(made, failures)


def ablate(
    observations: Observations,
    metrics: Sequence[str] = (),
    *,
    by: Sequence[str] = KINDS,
    method: str | Method = DEFAULT,
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> Ablation:
    """Forecast the same hidden rows from less and less of a ladder, and through other laws, links and losses.

    `by` names sizes, horizons, checkpoints, compute or forms; without draws only errors are told. Raises MethodError
    when the whole ladder forecasts nothing.
    """
    chosen = method_named(method, **options) if isinstance(method, str) else method
    names = metrics_of(observations, metrics)
    ways = forms(observations, names) if "forms" in by else {}
    how = settings or Settings(draws=0)
    return ablate_ladder(observations, chosen, names, how, by=by, forms=ways, progress=progress)


def forms(observations: Observations, metrics: Sequence[str]) -> dict[str, Method]:
    """Name the other ways to the same metrics: a ladder with another law, link or loss, and `direct`."""
    training = observations.training()
    made: dict[str, Method] = {f"law {law}": method_named("ladder", law=law) for law in FORM_LAWS}
    if not any(training.metric_named(name).is_share for name in metrics):
        return made
    made |= {f"link {link}": method_named("ladder", link=link) for link in FORM_LINKS}
    made["without the ideal point"] = method_named("ladder", ideal_point=False)
    made["straight from N and D"] = method_named("direct")
    own = [f"{name.rsplit('/', 1)[0]}/bpb" for name in metrics if training.metrics[name].is_share]
    if set(own) & set(training.metrics):
        made["through the task's own bits per byte"] = method_named("ladder", intermediate="bpb")
    losses = [m.name for m in training.metrics.values() if m.is_loss and m.name not in own]
    return made | {f"through {name}": method_named("ladder", intermediate=name) for name in losses}


def outlook(
    observations: Observations,
    run: str,
    metric: str = "",
    *,
    upto: float = 1.0,
    D: str | float | None = None,
    decay: Decay = "constant",
    final: float = 0.0,
    rate: float = 0.05,
    settings: Settings | None = None,
) -> tuple[Outlook, Watch]:
    """Forecast the rest of a run of a study from what was measured of it so far, and test whether it left its forecast.

    Where rows carry a learning rate (`lr`) the curve follows the schedule law, else that of the runs that ended.
    What the ladder's loss law says of the end, fitted to the other runs, is weighed in. `upto` takes only a first
    share of the run, `D` is where it will end, `decay` to `final` of the peak how a recorded rate goes on (constant,
    linear, cosine or sqrt), `rate` the false alarms allowed. Raises MethodError where too little is known.
    """
    from foretell.methods.run_outlook import outlook_of_run

    how = settings or Settings(draws=400)
    name = metric or observations.shared_loss or metrics_of(observations)[0]
    row = observations.only_runs([run]).runs.row(0, named=True)
    size = row["N" if observations.law_N == "N" else "N_total"]
    end = Target(size, row["D"] if D is None else parse_tokens(D, size), name=run)
    told: tuple[float, float] | None = None
    others = observations.only_runs([one for one in observations.runs["name"] if one != run])
    try:
        (said,) = predict(others, [end], [name], settings=how)
        low, high = said.interval(0.6827)
        told = (said.value, math.log(high / low) / 2)
    except (FitError, MethodError, TableError):
        told = None  # too few others carry a law: the curve speaks alone
    return outlook_of_run(
        observations, run, name, upto=upto, D=end.D, end=told, rate=rate, settings=how, decay=decay, final=final
    )


def fit_metric(
    observations: Observations,
    law: str | Law,
    metric: str,
    *,
    through: str | None = None,
    objective: str | Objective = "",
    starts: int = 128,
    draws: int = 1000,
    resample: str = "runs",
    seed: int = 0,
) -> Fit:
    """Fit a law to a metric of the runs that are not held out, and resample it.

    `through` names the loss that a link takes as its input `L`. Raises MethodError when a link has none, or when
    a law of shares is to give something else.
    """
    training = observations.training()
    chosen = law_named(law, frozenset(training.attributes)) if isinstance(law, str) else law
    if "L" in chosen.variables:
        loss = through or training.shared_loss
        if loss is None:
            raise MethodError(f"the law {chosen.name} is a link: name the loss it takes as L (--through c4/loss)")
        points = training.link(loss, training.metric_named(metric).name)
    else:
        points = training.metric(metric)
    if chosen.response == "share" and not points.metric.is_share:
        raise MethodError(f"the law {chosen.name} gives a share in 0..1; {metric} is {points.metric.unit}")
    meant = objective or ("gaussian" if points.metric.is_share else "huber:1e-3")
    made = fit(chosen, points, objective=meant, starts=starts, seed=seed)
    return RESAMPLERS[resample](made, draws, seed=seed) if draws else made


def calibration(observations: Observations, method: str = DEFAULT) -> Calibration:
    """Give how a method's error grows with reach, as learned on public data sets; of them, never the study's own.

    `factor(reach, share=…)` is the error of the law's form at so many decades beyond the data over that at one decade.
    """
    from foretell.judge.calibration import shipped

    return shipped().of(observations, method)


def open(path: str | Path) -> Observations:
    """Open a study folder."""
    return open_study(path)
