"""FLP-M: compute from each source to each domain's loss, then from those losses to a task (Chen 2024, 2410.08527)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

PREFIX = "w_"
TRACE = 1e-4  # of the tokens: what a source without any counts as, since compute of zero has no logarithm
WIDTHS = (4, 8)  # of the hidden layer; the paper's is not known to us, so hold-outs choose
LINKS = ("auto", "network", "linear")
MEMBERS = 8  # networks of a forecast: each has its own seed and leaves other runs out
LEFT_OUT = 0.25  # of the runs, for early stopping
STEPS, LOOK, PATIENCE = (
    600,
    10,
    8,
)  # steps at most; the left-out runs are looked at every tenth; so many looks without gain
RATE = 0.02  # of Adam (2014, 1412.6980), its other constants as published
RIDGE = 1e-3  # of stage 1, in units of the logarithms' own variance: sources that move together share their effect
FEWEST_RUNS = 6
CLEARLY = 0.9  # of the line's hold-out error: a network must be so much better to replace it


@dataclass(frozen=True)
class FlpM:
    """Forecast losses as Π C_j^(a_j) over sources j, C_j = w_j C, and a task from all losses by a small network.

    `link` is `network` (two layers, tanh), `linear`, or `auto`: the network where it forecasts runs left out clearly
    better. Losses are the study's metrics in nats or bits but the task's own. A target needs its shares `w_…`.
    """

    link: str = "auto"

    name = "flp-m"
    source = "Chen 2024, arXiv 2410.08527, section on FLP-M (read in abstract and reviews)"

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise UnknownName("link of flp-m", self.link, LINKS)

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast metrics of targets with known shares.

        Raises MethodError when there are no shares or losses, FitError for fewer than six runs.
        """
        training = observations.training()
        losses = [name for name, metric in training.metrics.items() if metric.is_loss]
        if not losses:
            raise MethodError("flp-m goes through domain losses, and no loss was measured")
        points = {name: training.metric(name) for name in losses}
        stages = {name: _first_stage(of, settings) for name, of in points.items()}
        made = []
        for metric in metrics:
            if training.metric_named(metric).is_loss:
                made += [self._loss(points[metric], stages[metric], target, settings) for target in targets]
            else:
                made += self._task(training, metric, points, stages, targets, settings)
        return made

    def _loss(self, points: Points, stage: FirstStage, target: Target, settings: Settings) -> Forecast:
        value, draws = stage.at(target, settings)
        if settings.draws and "noise" in settings.parts:
            rng = np.random.default_rng([settings.seed, 24])
            draws = draws * np.exp(stage.spread * rng.normal(size=len(draws)))
        return _forecast(points, target, self.name, value, draws, settings, stage.doubts, "")

    def _task(
        self,
        training: Observations,
        metric: str,
        points: dict[str, Points],
        stages: dict[str, FirstStage],
        targets: Sequence[Target],
        settings: Settings,
    ) -> list[Forecast]:
        of = training.metric(metric)
        tables = [dict(zip(zip(p.run, p.input("D"), strict=True), p.value, strict=True)) for p in points.values()]
        keys = list(zip(of.run, of.input("D"), strict=True))
        kept = np.array([all(key in table for table in tables) for key in keys])
        if len(set(of.run[kept])) < FEWEST_RUNS:
            raise FitError(
                f"{len(set(of.run[kept]))} runs have {metric} and every loss; flp-m needs at least {FEWEST_RUNS}"
            )
        rows = [key for key, keep in zip(keys, kept, strict=True) if keep]
        x = np.log(np.array([[table[key] for table in tables] for key in rows]))
        y = of.value[kept]
        link = fit_link(x, y, of.run[kept], self.link, settings.seed)
        made = []
        for target in targets:
            at = [stage.at(target, settings) for stage in stages.values()]
            value = float(link.mean(np.log([[v for v, _ in at]]))[0])
            draws = np.empty(0)
            if settings.draws:
                rng = np.random.default_rng([settings.seed, 21])
                shown = np.log(np.stack([d for _, d in at], axis=1)) if "coefficients" in settings.parts else None
                where = np.repeat(np.log([[v for v, _ in at]]), settings.draws, axis=0) if shown is None else shown
                member = rng.integers(len(link.members), size=settings.draws)
                every = np.stack([each(where) for each in link.members])
                draws = every[member, np.arange(settings.draws)] if "form" in settings.parts else link.mean(where)
                if "noise" in settings.parts:
                    draws = draws + link.error * rng.normal(size=settings.draws)
            doubts = [doubt for stage in stages.values() for doubt in stage.doubts]
            low, high = x.min(axis=0), x.max(axis=0)
            asked = np.log([v for v, _ in at])
            if (asked < low - 0.05).any() or (asked > high + 0.05).any():
                doubts.append("a loss beyond those trained: the link from losses to the task is extrapolated there")
            made.append(
                _forecast(of, target, self.name, value, draws, settings, tuple(dict.fromkeys(doubts)), link.reason)
            )
        return made


@dataclass(frozen=True)
class FirstStage:
    """Hold log L = a0 + Σ a_j log(w_j C): the middle, slopes (p,), their draws (B, p) and the residuals' spread."""

    sources: tuple[str, ...]
    centre: Array
    slopes: Array
    draws: Array
    spread: float
    doubts: tuple[str, ...]

    def at(self, target: Target, settings: Settings) -> tuple[float, Array]:
        """Give the loss at a target, and draws (B,) of it; raises MethodError for a target without shares."""
        missing = [source for source in self.sources if source not in target.inputs]
        if missing:
            raise MethodError(
                f"flp-m needs the shares of {target.label}: {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not given"
            )
        C = target.C or 6.0 * target.N * target.D
        row = np.log(np.maximum([target.inputs[s] for s in self.sources], TRACE) * C) - self.centre
        row = np.append(1.0, row)
        drawn = np.exp(self.draws[: settings.draws] @ row) if settings.draws else np.empty(0)
        return float(np.exp(row @ self.slopes)), drawn


def _first_stage(points: Points, settings: Settings) -> FirstStage:
    sources = tuple(sorted(name for name in points.inputs if name.startswith(PREFIX)))
    if not sources:
        raise MethodError("flp-m needs mixtures: no column is called w_…; name the shares when reading")
    runs = np.unique(points.run)
    if len(runs) < FEWEST_RUNS:
        raise FitError(f"{len(runs)} runs of {points.metric.name}; flp-m needs at least {FEWEST_RUNS}")
    x = np.log(np.stack([np.maximum(points.inputs[s], TRACE) * points.input("C") for s in sources], axis=1))
    centre = x.mean(axis=0)
    design = np.column_stack([np.ones(len(x)), x - centre])
    y = np.log(points.value)
    slopes = _ridge(design, y, np.ones(len(y)))
    left = y - design @ slopes
    free = max(1, len(y) - design.shape[1])
    rng = np.random.default_rng([settings.seed, 20])
    index = np.unique(points.run, return_inverse=True)[1]
    count = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=max(settings.draws, 1))
    draws = np.array([_ridge(design, y, row[index].astype(np.float64)) for row in count])
    doubts = []
    if len(runs) <= design.shape[1]:
        doubts.append(f"fewer runs than coefficients: {len(runs)} runs for {design.shape[1]} of {points.metric.name}")
    still = [s.removeprefix(PREFIX) for s in sources if np.ptp(points.inputs[s]) < 1e-4]
    if still:
        doubts.append(f"no variation: the share of {', '.join(still)} is the same in every run")
    return FirstStage(sources, centre, slopes, draws, float(np.sqrt(np.sum(left**2) / free)), tuple(doubts))


def _ridge(design: Array, y: Array, weight: Array) -> Array:
    """Solve weighted least squares, the slopes (not the constant) held to zero a little."""
    size = float(np.sum(weight))
    held = RIDGE * size * np.diag([0.0, *design[:, 1:].var(axis=0)])
    left: Array = (design * weight[:, None]).T @ design + held + 1e-12 * size * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(left, (design * weight[:, None]).T @ y), dtype=np.float64)


@dataclass(frozen=True)
class Member:
    """Hold one link from log losses (n, m) to a task: a line, plus a hidden layer of tanh where it has one."""

    centre: Array
    scale: Array
    middle: float
    size: float
    parameters: tuple[Array, ...]

    def __call__(self, x: Array) -> Array:
        """Give the task's value (n,)."""
        return self.middle + self.size * _network(self.parameters, (x - self.centre) / self.scale)[0]


@dataclass(frozen=True)
class Link:
    """Hold the members of a link, the spread of its error on runs left out, and why it was chosen."""

    members: tuple[Member, ...]
    error: float
    reason: str

    def mean(self, x: Array) -> Array:
        """Give the members' mean (n,)."""
        return np.asarray(np.mean([member(x) for member in self.members], axis=0))


def fit_link(x: Array, y: Array, run: NDArray[np.str_], kind: str = "auto", seed: int = 0) -> Link:
    """Fit a link from log losses (n, m) to values (n,): a line, networks of two widths, or what left-out runs prefer.

    Every member leaves another quarter of the runs out, and stops learning when those stop improving.
    """
    runs = np.unique(run)
    rng = np.random.default_rng([seed, 22])
    sides = [rng.permutation(runs)[: max(1, round(LEFT_OUT * len(runs)))] for _ in range(MEMBERS)]
    out = np.array([np.isin(run, side) for side in sides])
    tried: dict[str, tuple[list[Member], float]] = {}
    for width in (0, *WIDTHS):
        if (kind == "linear" and width) or (kind == "network" and not width):
            continue
        fitted = [
            _member(
                x, y, ~held, held & ~_judge(held, run) if len(np.unique(run[held])) > 1 else held, width, [seed, 23, i]
            )
            for i, held in enumerate(out)
        ]
        # half of what is left out stops the learning, the other half judges
        errors = np.concatenate([(each(x) - y)[_judge(held, run)] for each, held in zip(fitted, out, strict=True)])
        tried["a line" if not width else f"a network of width {width}"] = fitted, float(np.sqrt(np.mean(errors**2)))
    best = min(tried, key=lambda name: tried[name][1])
    if kind == "auto" and tried[best][1] > CLEARLY * tried["a line"][1]:
        best = "a line"
    members, error = tried[best]
    told = ", ".join(f"{name} {spread:.4g}" for name, (_, spread) in tried.items())
    return Link(tuple(members), error, f"{best}; error on runs left out: {told}")


def _judge(held: NDArray[np.bool_], run: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Mark the rows of every second run left out (all where there is one); the others stop the learning."""
    outside = np.unique(run[held])
    return np.isin(run, outside[::2]) if len(outside) > 1 else held


def _member(
    x: Array, y: Array, fit: NDArray[np.bool_], held: NDArray[np.bool_], width: int, seed: Sequence[int]
) -> Member:
    """Fit a member on the rows of `fit`; the rows of `held` say when to stop."""
    centre, scale = x[fit].mean(axis=0), np.maximum(x[fit].std(axis=0), 1e-6)
    middle, size = float(y[fit].mean()), max(float(y[fit].std()), 1e-9)
    z, t = (x - centre) / scale, (y - middle) / size
    design = np.column_stack([np.ones(fit.sum()), z[fit]])
    line = _ridge(design, t[fit], np.ones(int(fit.sum())))
    rng = np.random.default_rng(list(seed))
    m = x.shape[1]
    hidden = (rng.normal(size=(m, width)) / np.sqrt(m), np.zeros(width), 0.1 * rng.normal(size=width))
    best = (line[:1], line[1:], *hidden[:2], np.zeros(width))
    if not width:
        return Member(centre, scale, middle, size, best)
    state = [line[:1].copy(), line[1:].copy(), *hidden]
    first, second = [np.zeros_like(p) for p in state], [np.zeros_like(p) for p in state]
    least, waited = float(np.mean((_network(best, z[held])[0] - t[held]) ** 2)), 0
    for step in range(1, STEPS + 1):
        value, layer = _network(state, z[fit])
        error = (value - t[fit]) * 2.0 / len(value)
        back = (error[:, None] * state[4]) * (1.0 - layer**2)
        slopes = [error.sum(keepdims=True), z[fit].T @ error, z[fit].T @ back, back.sum(axis=0), layer.T @ error]
        for i, slope in enumerate(slopes):
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.999 * second[i] + 0.001 * slope**2
            shift = (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
            state[i] = state[i] - RATE * shift
        if step % LOOK == 0:
            now = float(np.mean((_network(state, z[held])[0] - t[held]) ** 2))
            if now < least:
                best, least, waited = tuple(p.copy() for p in state), now, 0
            else:
                waited += 1
                if waited == PATIENCE:
                    break
    return Member(centre, scale, middle, size, tuple(best))


def _network(parameters: Sequence[Array], z: Array) -> tuple[Array, Array]:
    """Give a line plus a hidden layer of tanh: values (n,) and the layer (n, width)."""
    constant, line, inner, shift, outer = parameters
    layer = np.tanh(z @ inner + shift)
    return constant[0] + z @ line + layer @ outer, layer


def _forecast(
    points: Points,
    target: Target,
    method: str,
    value: float,
    draws: Array,
    settings: Settings,
    doubts: tuple[str, ...],
    reason: str,
) -> Forecast:
    metric: Metric = points.metric
    return Forecast(
        target=target,
        metric=metric,
        method=method,
        value=float(within_limits(metric, np.array([value]))[0]),
        draws=within_limits(metric, draws),
        parts=settings.parts,
        reach=reach_of(points, target),
        doubts=doubts,
        reason=reason,
    )
