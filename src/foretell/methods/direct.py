"""The direct law: −log of the accuracy above chance falls as powers of N and D (arXiv 2512.08894)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError, UnknownName
from foretell.fitting import Fit, doubts_of, fit
from foretell.fitting.coordinates import coordinates_of
from foretell.fitting.descent import descend
from foretell.fitting.doubts import SAME_RAY
from foretell.forecast import Forecast, Settings, Target, reach_of, within_limits
from foretell.forecast.from_fit import Prediction, predict_at, target_doubts, with_draws
from foretell.laws import LAWS, Coefficient, Law
from foretell.laws.links import CHANCE
from foretell.methods.linkfit import has_signal, link_doubts, observation_noise
from foretell.methods.lossfit import AUTO, SPARE_ROWS
from foretell.table import Metric, Observations, Points

Array = NDArray[np.float64]

ABOVE = 0.05  # Q' at or below which a row is left out (paper: points above random + 5 %)
FORMS = {"N-D": "A/N**alpha + B/D**beta", "C": "A/C**alpha"}  # Eq. 4, and Eq. 2 for a fixed number of tokens/parameter
RECIPES = {
    "share": "gaussian@linear",
    "binomial": "binomial",
    "log": "gaussian@log",
    "published": "huber:1e-3@log",
}
STARTS_OF = {  # the paper's released code; its Eq. 6 starts are not known, so E's are ours
    "A": tuple(np.exp([5.0, 10.0, 15.0])),
    "B": tuple(np.exp([5.0, 10.0, 15.0])),
    "alpha": (0.5, 1.0, 1.5),
    "beta": (0.5, 1.0, 1.5),
    "E": (0.01, 0.1),
}
_COEFFICIENTS = {
    "A": Coefficient(start=(1.0, 1e5), unit="parameters^alpha (FLOP^alpha)"),
    "B": Coefficient(start=(1.0, 1e5), unit="tokens^beta"),
    "alpha": Coefficient(start=(0.05, 1.0), unit="1"),
    "beta": Coefficient(start=(0.05, 1.0), unit="1"),
    "E": Coefficient(start=(0.01, 1.0), unit="1"),
}


@dataclass(frozen=True)
class Direct:
    """Forecast a share by −log Q' = A/N^alpha + B/D^beta, with no loss between.

    `form` is `N-D` (Eq. 4), `C` (Eq. 2, −log Q' = A/C^alpha, for one number of tokens a parameter) or `auto`: Eq. 4
    where the runs tell N from D. `ceiling` adds the best share reachable, Q_max = exp(−E) (Eq. 6). `chance` says
    whether Q' is what exceeds a guess, (Q − chance)/(1 − chance), or the share itself. `recipe` is `published`
    (Huber, δ = 1e-3, on log(−log Q'), rows with Q' ≤ 0.05 left out), `log` (least squares on it, rows with Q' ≤ 0 left
    out), `share` (least squares on the share, all rows) or `binomial` (likelihood of counts, all rows; `share` where
    the number of items is not known). The defaults come from benchmarks/direct_defaults.py, hold-outs inside the
    training rows of five families: 6.4 points for `binomial` and `published`, which leaves out one forecast in
    eight; 6.5 for `share`, 6.7 for `log`; a ceiling costs 0.3 to 0.5, Q for Q' 0.4 to 0.6, C for N, D 0.3 to 0.5.
    """

    form: str = AUTO
    recipe: str = "binomial"
    ceiling: bool = False
    chance: bool = True

    name = "direct"
    source = "arXiv 2512.08894, Eq. 2, 4 and 6"

    def __post_init__(self) -> None:
        if self.form not in (AUTO, *FORMS):
            raise UnknownName("form of the direct law", self.form, (AUTO, *FORMS))
        if self.recipe not in RECIPES:
            raise UnknownName("recipe of the direct law", self.recipe, RECIPES)

    def forecast(
        self, observations: Observations, targets: Sequence[Target], metrics: Sequence[str], settings: Settings
    ) -> list[Forecast]:
        """Forecast every metric of every target.

        Raises MethodError for a metric that is no share, FitError where rows or runs are too few.
        """
        training = observations.training()
        made: list[Forecast] = []
        for name in metrics:
            metric = training.metric_named(name)
            if not metric.is_share:
                raise MethodError(
                    f"{name} is {metric.unit}; the direct law forecasts shares: use the method chinchilla"
                )
            found, doubts = self.fit_share(training.metric(name), settings)
            fitted = with_draws(found, settings)
            made += [self._at(fitted, metric, target, settings, doubts) for target in targets]
        return made

    def fit_share(self, points: Points, settings: Settings) -> tuple[Fit, tuple[str, ...]]:
        """Fit the law to the rows of a share, and list the doubts; a task without signal is fitted flat.

        The fit is of the share, or of −log Q' for the recipes `log` and `published`. Raises FitError for too few rows.
        """
        doubts: list[str] = []
        if points.metric.unit == "error":
            points = replace(points, value=1.0 - points.value)
        if self.chance and points.metric.chance is None:
            doubts.append(f"the chance level of {points.metric.name} is not known: 0 was taken")
            metric = points.metric.model_copy(update={"chance": 0.0})
            points = replace(points, metric=metric, inputs={**points.inputs, "chance": np.zeros(len(points))})
        over_compute = replace(points, inputs={**points.inputs, "L": -np.log(points.input("C"))})
        if not has_signal(over_compute):
            flat = fit(LAWS["flat"], over_compute, objective="gaussian@linear", starts=1, seed=settings.seed)
            return flat, (*doubts, *link_doubts(flat, 0.0))
        recipe = self.recipe
        if recipe == "binomial" and np.isnan(points.items).any():
            recipe = "share"
            doubts.append(f"the number of items of {points.metric.name} is not known: least squares instead of counts")
        logs = recipe in ("log", "published")
        if logs:
            points, left_out = self._logarithms(points, ABOVE if recipe == "published" else 0.0)
            doubts += left_out
        form, reasons = self._choose_form(points)
        law = direct_law(form, ceiling=self.ceiling, chance=self.chance, share=not logs)
        made = fit(law, points, objective=RECIPES[recipe], starts=settings.starts, seed=settings.seed)
        if recipe == "published":
            made = _from_published_starts(made)
        return made, (*doubts, *reasons, *doubts_of(made))

    def _logarithms(self, points: Points, least: float) -> tuple[Points, list[str]]:
        """Turn shares into −log Q', without the rows where that is not above `least`."""
        chance = points.metric.chance if self.chance and points.metric.chance is not None else 0.0
        above = (points.value - chance) / (1.0 - chance)
        kept = (above > least) & (above < 1.0)
        metric = Metric(name=points.metric.name, unit="value")
        with np.errstate(all="ignore"):
            turned = replace(points.take(kept), metric=metric, value=-np.log(above[kept]))
        if kept.all():
            return turned, []
        if not kept.any():
            raise FitError(f"no row of {points.metric.name} lies above chance by more than {least:.0%} of what is left")
        what = f"{int((~kept).sum())} of {len(kept)} rows of {metric.name} are left out"
        return turned, [f"{what}: within {least:.0%} of chance, or at 1"]

    def _choose_form(self, points: Points) -> tuple[str, list[str]]:
        ratio = points.input("D") / points.input("N")
        ray = bool(ratio.max() / ratio.min() < SAME_RAY)
        if self.form == "C" and not ray:
            return "C", ["Eq. 2 holds for one number of tokens a parameter, and these runs have several"]
        if self.form != AUTO:
            return self.form, []
        sizes = len(np.unique(np.round(np.log(points.input("N")), 3)))
        if ray:
            return "C", ["a single D/N ray: fitted by −log Q' = A/C^alpha, which holds on that ray only"]
        if sizes < 2 or len(points) < 4 + self.ceiling + SPARE_ROWS:
            return "C", [f"only {len(points)} rows of {sizes} sizes: fitted by −log Q' = A/C^alpha"]
        return "N-D", []

    def _at(self, made: Fit, metric: Metric, target: Target, settings: Settings, doubts: tuple[str, ...]) -> Forecast:
        found = self._predict(made, metric, target, settings)
        flip = metric.unit == "error"
        value, draws = (1.0 - found.value, 1.0 - found.draws) if flip else (found.value, found.draws)
        return Forecast(
            target=target,
            metric=metric,
            method=self.name,
            value=float(within_limits(metric, np.array([value]))[0]),
            draws=within_limits(metric, draws),
            parts=settings.parts,
            reach=reach_of(made.points, target),
            doubts=tuple(dict.fromkeys([*doubts, *target_doubts(made, target)])),
        )

    def _predict(self, made: Fit, metric: Metric, target: Target, settings: Settings) -> Prediction:
        """Compute the share at a target, and draws of what may be observed there."""
        rng = np.random.default_rng([settings.seed, 4])
        if made.law.response == "loss":  # the fit is of −log Q'
            logs = predict_at(made, target, settings, rng)
            chance = metric.chance if self.chance and metric.chance is not None else 0.0
            return Prediction(
                chance + (1.0 - chance) * float(np.exp(-logs.value)), chance + (1.0 - chance) * np.exp(-logs.draws)
            )
        found = predict_at(made, target, replace(settings, parts=settings.parts - {"noise"}), rng)
        if "noise" not in settings.parts or not settings.draws:
            return found
        return Prediction(found.value, found.draws + observation_noise(made, metric, found.draws, rng))


def _from_published_starts(made: Fit) -> Fit:
    """Keep the lowest minimum that the paper's own starts lead to, where it is lower than the fit's.

    With 9 to 16 rows the narrow Huber penalty has several: the engine's starts, led by a wide penalty, share one.
    """
    values = [STARTS_OF[name] for name in made.law.coefficients]
    grid = np.array([axis.ravel() for axis in np.meshgrid(*values, indexing="ij")]).T
    coordinates = coordinates_of(made.law, made.objective)
    minima = descend(
        made.law,
        made.objective,
        made.features,
        np.log(made.points.value)[None, :],
        np.ones((1, len(made))),
        coordinates.fitted(grid),
        straight=True,
    )
    best = int(np.argmin(np.where(np.isfinite(minima.objective), minima.objective, np.inf)))
    if not minima.objective[best] < made.objective_value:
        return made
    u = minima.u[best]
    found = replace(made, theta=coordinates.natural(u), u=u, objective_value=float(minima.objective[best]))
    return found if np.isfinite(found.fitted).all() and np.isfinite(found.jacobian).all() else made


def direct_law(form: str, *, ceiling: bool, chance: bool, share: bool) -> Law:
    """Give the law of a form: of the share itself, or of −log Q'."""
    body = FORMS[form] + (" + E" if ceiling else "")
    of_share = f"chance + (1 - chance)*exp(-({body}))" if chance else f"exp(-({body}))"
    names = {"C": ("A", "alpha"), "N-D": ("A", "B", "alpha", "beta")}[form]
    bounds = {name: _COEFFICIENTS[name] for name in (*names, *(("E",) if ceiling else ()))}
    return Law(
        f"direct-{form}{'-ceiling' if ceiling else ''}",
        of_share if share else body,
        bounds,
        response="share" if share else "loss",
        source=Direct.source,
        inputs=CHANCE if share and chance else frozenset(),
    )
