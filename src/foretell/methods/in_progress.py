"""A run in progress: the rest of its loss curve, forecast from its first part, its schedule and its family.

The curve follows the multi-power law (2503.12811) in units of its own run: loss above the floor at the planned end
without annealing, and rates over the peak. So what one model taught about annealing can be lent to another. What the
ladder's loss law says of the end is one more observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretell.errors import FitError, MethodError
from foretell.forecast import check_level
from foretell.laws.multipower import Sums, sums_of
from foretell.laws.schedule import Schedule
from foretell.markup import small_table
from foretell.methods.curve_blocks import blocks_of
from foretell.methods.leaving import FIRST, FREEDOM, RATE, Watch
from foretell.methods.leaving import watch as watch_curve
from foretell.methods.part_curve import PartCurve

Array = NDArray[np.float64]

# log of what the law's coefficients are before the run says anything, and by how much they may differ. The multi-power
# law's published fits at 25M, 100M and 400M in these units: alpha .508 .453 .429; b (gain of dropping the rate to zero,
# over the loss above the floor at the end) .56 .53 .56; C .118 .120 .117; beta .583 .598 .594; gamma .641 .655 .635.
# The widths allow for other recipes than that one: three times the spread seen, at least.
PRIOR = {"alpha": (0.46, 0.30), "b": (0.55, 0.45), "C": (0.118, 0.6), "beta": (0.592, 0.15), "gamma": (0.644, 0.15)}
FLOOR_PRIOR = (0.85, 0.12)  # L0 over the loss at the last block seen: log-normal; published curves .90 to .95
OWN = ("L0", "A")
NAMES = (*OWN, *PRIOR)
# Errors of the law's form, before the run itself says anything; both measured on the 12 curves of 2503.12811 that are
# public: growth for each e-fold of steps still to come, and what even a fit of the whole curve misses at its end.
GROWTH = 0.006
MISFIT = 0.0012
MISFIT_FULL = 0.1  # e-folds ahead from which the misfit counts in full
GROWTH_WORTH = 2.0  # hold-outs inside the run that this is worth
INNER = (0.5, 0.7)  # of the part seen: where hold-outs inside it end
FAMILY_FLOOR = 0.08  # least width of what a family teaches, in log units
END_SHARE = 0.005  # of the planned steps, whose mean is one measurement: of a validation curve that is one reading
BIN = 64  # steps of a moving rate that are taken together
RISEN = 0.01  # of its lowest: the noise of a validation loss is a fifth of it
STRETCHES = 20  # medians of so many parts of a curve are compared: one spike is no rise
STARTS = (0.25, 0.46, 0.8)  # alpha at which a descent begins


@dataclass(frozen=True)
class Lent:
    """Hold what a run is lent before it speaks: centre and width of the logarithm of each coefficient, and an end.

    `end` is the loss at the planned end that the ladder's law forecasts, with the standard deviation of its logarithm.
    """

    centre: dict[str, float] = field(default_factory=lambda: {n: float(np.log(v)) for n, (v, _) in PRIOR.items()})
    width: dict[str, float] = field(default_factory=lambda: {n: w for n, (_, w) in PRIOR.items()})
    end: tuple[float, float] | None = None


@dataclass(frozen=True)
class Outlook:
    """Hold the forecast of the rest of a run: the loss at steps (m,), and draws (B, m) of what may be measured there.

    Where `axis` is D, `step` holds tokens.

    The last step is the planned end. A measurement is the mean over half a per cent of the planned steps (one reading
    of a validation curve); `noise` is its relative spread around the curve. `share` is the part of the run that was
    seen, `doubts` what stands against the forecast.
    """

    name: str
    share: float
    step: Array
    value: Array
    draws: Array
    noise: float
    coefficients: dict[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    axis: Literal["step", "D"] = "step"

    @property
    def end(self) -> float:
        """Give the loss forecast at the planned end."""
        return float(self.value[-1])

    def interval(self, level: float = 0.8, at: int = -1) -> tuple[float, float]:
        """Give the central interval at the planned end, or at another of the steps."""
        check_level(level)
        low, high = np.quantile(self.draws[:, at], [0.5 * (1 - level), 0.5 * (1 + level)])
        return float(low), float(high)

    def _repr_html_(self) -> str:
        shown = sorted({*range(0, len(self.step), max(1, len(self.step) // 5)), len(self.step) - 1})
        rows = [
            (f"{self.step[i]:.4g}", f"{self.value[i]:.4f}", "{:.4f} – {:.4f}".format(*self.interval(0.8, i)))
            for i in shown
        ]
        title = f"{self.name}: forecast from the first {100 * self.share:.0f} %"
        return small_table(title, (self.axis, "loss", "80 % interval"), rows, self.doubts)

    def spread(self, at: int = -1) -> float:
        """Give half the width of the central 68 % of log draws: the standard deviation of log loss."""
        low, high = np.quantile(np.log(self.draws[:, at]), [0.1587, 0.8413])
        return float(high - low) / 2


def outlook(
    part: PartCurve, at: Array | None = None, *, lent: Lent | None = None, draws: int = 400, seed: int = 0,
    growth: bool = True,
) -> Outlook:  # fmt: skip
    """Forecast the loss at steps `at` (by default 60 between the last one seen and the end, which comes last).

    With `growth` the interval holds the form's error: what hold-outs inside the part seen were missed by, for each
    e-fold of steps ahead. Raises FitError while too little has been seen.
    """
    given = lent or Lent()
    T, now = len(part.schedule), float(part.step[-1])
    steps = np.rint(np.linspace(min(now + 1, T), T, 60) if at is None else np.asarray(at, dtype=np.float64))
    made = _fit(part, given)
    rng = np.random.default_rng([seed, 7])
    value, of_law = made.predict(steps, draws, rng)
    log_draws = np.log(of_law)
    slope = _growth(part, given) if growth else 0.0
    ahead = np.maximum(np.log(steps / now), 0.0)
    form = np.hypot(slope * ahead, growth * MISFIT * np.minimum(1.0, ahead / MISFIT_FULL))
    if given.end is not None:  # the ladder's word bounds the form's error: precisions add
        form /= np.sqrt(1.0 + (form / given.end[1]) ** 2)
    log_draws += rng.standard_t(FREEDOM, size=(draws, 1)) * form
    readings = max(1.0, END_SHARE * len(part.schedule) * len(part.step) / (now - float(part.step[0]) + 1.0))
    noise = float(np.hypot(made.noise, blocks_of(part).single / np.sqrt(readings)))
    log_draws += noise * rng.normal(size=(draws, len(steps)))
    doubts = _doubts(part, made, given)
    named = {name: float(np.exp(u)) for name, u in zip(NAMES, made.u, strict=True)}
    return Outlook(part.name, part.share, steps, value, np.exp(log_draws), noise, named, tuple(doubts))


def watch(
    part: PartCurve,
    *,
    lent: Lent | None = None,
    rate: float = RATE,
    first: float = FIRST,
    draws: int = 200,
    seed: int = 0,
) -> Watch:
    """Test whether a run left what its own first part, its schedule and its family forecast; see `leaving.watch`."""
    T = len(part.schedule)
    late = max(first, 3.0 * part.schedule.warmup / T)  # a warm-up is no part of the curve

    def forecast(seen: float, ahead: Array) -> tuple[Array, Array]:
        made = outlook(part.upto(seen / T), ahead, lent=lent, draws=draws, seed=seed)
        return np.log(made.value), np.array([made.spread(i) for i in range(len(ahead))])

    return watch_curve(part.step, part.loss, float(T), forecast, rate=rate, first=min(late, 0.5))


def family_of(curves: Sequence[PartCurve]) -> Lent:
    """Learn from runs that ended what alpha and the coefficients of annealing are, and how far they differ.

    A curve that never anneals teaches alpha alone. Without curves this is what is known beforehand.
    """
    lent = Lent()
    found: dict[str, list[float]] = {name: [] for name in PRIOR}
    for curve in curves:
        try:
            made = _fit(curve, lent)
        except FitError:
            continue
        learned = PRIOR if curve.upto(1.0).schedule.anneals else ("alpha",)
        for name in learned:
            found[name].append(float(made.u[NAMES.index(name)]))
    centre, width = dict(lent.centre), dict(lent.width)
    for name, values in found.items():
        if values:
            n = len(values)
            mean = float(np.mean(values))
            between = float(np.var(values, ddof=1)) if n > 1 else lent.width[name] ** 2 / 4
            # one run's worth of what was known before, so that two runs alike do not make a certainty
            prior_share = 1 / (n + 1)
            spread = (1 - prior_share) * between + prior_share * lent.width[name] ** 2
            centre[name] = (1 - prior_share) * mean + prior_share * lent.centre[name]
            width[name] = max(FAMILY_FLOOR, float(np.sqrt(spread)))
    return Lent(centre, width)


@dataclass(frozen=True)
class _Fitted:
    u: Array
    covariance: Array
    noise: float
    schedule: Schedule
    scale: float
    residuals: Array

    def predict(self, steps: Array, draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Give the loss (m,) at steps and draws (B, m) of it from the coefficients' doubt."""
        sums = sums_of(self.schedule, steps, BIN)
        thetas = rng.multivariate_normal(self.u, self.covariance, size=draws, method="eigh")
        return _loss(self.u, sums, self.scale), np.stack([_loss(theta, sums, self.scale) for theta in thetas])


def measured_end(part: PartCurve) -> float:
    """Give the last measurement: the mean loss over the last `END_SHARE` of the planned steps."""
    late = part.step > part.step[-1] - END_SHARE * len(part.schedule)
    return float(np.exp(np.mean(np.log(part.loss[late]))))


def _loss(u: Array, sums: Sums, scale: float) -> Array:
    L0, A, alpha, b, C, beta, gamma = np.exp(np.clip(u, -30.0, 30.0))
    learned = A * (sums.area / scale) ** -alpha
    gain = sums.gains(C, beta, gamma)[0]
    return np.asarray(np.maximum(L0 + learned - b * A * gain, 1e-6), dtype=np.float64)


def _fit(part: PartCurve, lent: Lent) -> _Fitted:
    """Descend to the coefficients most likely after the part seen; their covariance is Laplace's."""
    from scipy.optimize import least_squares

    blocks = blocks_of(part)
    peak = float(part.schedule.lr.max())
    unit = Schedule(part.schedule.lr / peak, part.schedule.warmup)
    scale = float(unit.area[-1])
    T = float(len(unit))
    sums = sums_of(unit, np.append(blocks.step, T), BIN)
    centre = np.array([np.log(FLOOR_PRIOR[0]) + blocks.last, np.nan, *(lent.centre[name] for name in PRIOR)])
    width = np.array([FLOOR_PRIOR[1], np.inf, *(lent.width[name] for name in PRIOR)])
    told = np.isfinite(width)

    def residuals(u: Array, noise: float) -> Array:
        model = np.log(_loss(u, sums, scale))
        parts = [(model[:-1] - blocks.log_loss) / noise, (u[told] - centre[told]) / width[told]]
        if lent.end is not None:
            parts.append(np.array([(model[-1] - np.log(lent.end[0])) / lent.end[1]]))
        return np.concatenate(parts)

    noise = max(blocks.spread, 5e-4)
    best = None
    for alpha in STARTS:
        start = centre.copy()
        start[0] = blocks.last + np.log(0.9)
        start[2] = np.log(alpha)
        now = (sums.area[-2] / scale) ** -alpha
        start[1] = np.log(np.exp(blocks.last) * 0.1 / now)
        found = least_squares(residuals, start, args=(noise,), x_scale=0.1, max_nfev=60)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    for _ in range(3):
        left = np.log(_loss(best.x, sums, scale))[:-1] - blocks.log_loss
        freedom = max(1.0, len(left) - 3.0)
        noise = max(float(np.sqrt(np.sum(left**2) / freedom)), blocks.spread, 2e-4)
        near = float(np.corrcoef(left[1:], left[:-1])[0, 1]) if len(left) > 4 and np.ptp(left) > 0 else 0.0
        near = float(np.clip(near, 0.0, 0.9))
        # neighbours that err alike count as fewer: (1 + r)/(1 − r) blocks are worth one
        best = least_squares(
            residuals, best.x, args=(noise * np.sqrt((1 + near) / (1 - near)),), x_scale=0.1, max_nfev=40
        )
    covariance = np.linalg.pinv(best.jac.T @ best.jac, rcond=1e-12)
    left = np.log(_loss(best.x, sums, scale))[:-1] - blocks.log_loss
    return _Fitted(best.x, 0.5 * (covariance + covariance.T), noise, unit, scale, left)


def _growth(part: PartCurve, lent: Lent) -> float:
    """Give the form's error for each e-fold ahead: what hold-outs inside the part seen exceed their own spread by."""
    squares = [GROWTH**2] * int(GROWTH_WORTH)
    rng = np.random.default_rng(11)
    last = blocks_of(part)
    alone = replace(lent, end=None)
    for share in INNER:
        try:
            inner = part.upto(share * part.share)
            made = _fit(inner, alone)
        except (FitError, MethodError, ValueError):
            continue
        value, draws = made.predict(last.step[-1:], 60, rng)
        ahead = float(np.log(last.step[-1] / inner.step[-1]))
        error = float(np.log(value[0])) - last.last
        spread = float(np.std(np.log(draws)))
        squares.append(max(0.0, error**2 - spread**2 - made.noise**2) / max(ahead, 0.2) ** 2)
    return float(np.sqrt(np.mean(squares)))


def risen(loss: Array) -> str:
    """Say by how much the last losses lie above the lowest before them, where that is over RISEN; else nothing."""
    medians = [float(np.median(stretch)) for stretch in np.array_split(loss, min(STRETCHES, len(loss)))]
    above = medians[-1] / min(medians) - 1.0
    if above <= RISEN:
        return ""
    return f"non-monotone: the loss measured last lies {above:.1%} above its lowest; a curve that only falls was fitted"


def _doubts(part: PartCurve, made: _Fitted, lent: Lent) -> list[str]:
    doubts = []
    seen = part.schedule.drops[part.schedule.warmup : int(part.step[-1])]
    coming = part.schedule.drops[int(part.step[-1]) :]
    if coming.size and coming.sum() > 2 * max(0.0, seen[seen > 0].sum()):
        doubts.append("most of the annealing is still to come: what it gains is lent, not seen")
    if rise := risen(part.loss):
        doubts.append(rise)
    if spikes := blocks_of(part).spikes:
        doubts.append(f"spikes: {spikes} of {len(part.step)} losses stand far above those before and after; left out")
    if part.share < 0.1:
        doubts.append(f"only {part.share:.0%} of the run has been seen")
    if not part.schedule.anneals:
        doubts.append("the plan never lowers the learning rate: if it will be lowered, the end is forecast too high")
    if lent.end is not None:
        own = _fit(part, replace(lent, end=None))
        rng = np.random.default_rng(13)
        value, draws = own.predict(np.array([float(len(part.schedule))]), 100, rng)
        apart = float(np.log(value[0] / lent.end[0]))
        spread = float(np.hypot(np.std(np.log(draws)), lent.end[1]))
        if abs(apart) > 2.5 * spread:
            doubts.append(
                f"the curve itself points to {value[0]:.4g} at the end, the ladder to {lent.end[0]:.4g}: "
                f"{abs(apart) / spread:.1f} standard deviations apart"
            )
    return doubts
