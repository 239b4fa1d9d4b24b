"""What a notebook shows of fits, forecasts and backtests: their values, and every name as text."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from foretell.fitting import fit, redraw_noise
from foretell.forecast import DEFAULT_PARTS, Forecast, Target
from foretell.judge import Backtest
from foretell.judge.backtest import Outcome
from foretell.laws import LAWS
from foretell.table import Metric
from ladders import CHINCHILLA, TRUTH, in_N_and_D, points_of, rungs

NASTY = "</td><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"
DRAWS = np.linspace(0.6, 0.7, 101)
ALLOWED = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class Reader(HTMLParser):
    """Collect tags with attributes, cells and notes of a small table."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.parts = [], "", {"td": [], "th": [], "li": [], "b": []}
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))
        if tag in self.parts:
            self.inside = tag
            self.parts[tag].append("")

    def handle_endtag(self, tag):
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside:
            self.parts[self.inside][-1] += data


def read(shown):
    made = Reader(shown._repr_html_())
    assert {tag for tag, _ in made.tags} <= ALLOWED
    assert all(attributes == [] for _, attributes in made.tags)
    return made.parts


def forecast(name="task/acc", unit="accuracy", value=0.65, draws=DRAWS, **more):
    target = Target(7e9, 1e12, name=more.pop("target", ""))
    method = more.pop("method", "ladder")
    return Forecast(target, Metric(name=name, unit=unit), method, value, draws, DEFAULT_PARTS, 1.5, **more)


@pytest.fixture(scope="module")
def fitted():
    points = points_of(CHINCHILLA, TRUTH, in_N_and_D(*rungs()), noise=0.002)
    return fit(LAWS["chinchilla"], points, starts=16)


def test_a_forecast_shows_value_interval_reach_and_doubts():
    told = read(forecast(doubts=("heavy extrapolation: far out",)))
    assert told["b"] == ["forecast by ladder"]
    assert told["td"] == ["7B on 1T", "task/acc", "65", "61 – 69", "1.5"]
    assert told["li"] == ["heavy extrapolation: far out"]


def test_a_loss_is_shown_in_its_own_unit_and_a_forecast_without_draws_without_an_interval():
    told = read(forecast("c4/loss", "nats/token", 2.345, np.empty(0)))
    assert told["td"][2:4] == ["2.345", "none"]


def test_names_in_a_forecast_are_text():
    told = read(forecast(f"{NASTY}/acc", doubts=(NASTY,), target=NASTY, method=NASTY))
    assert told["td"][:2] == [NASTY, f"{NASTY}/acc"]
    assert told["li"] == [NASTY]
    assert told["b"] == [f"forecast by {NASTY}"]


def test_a_fit_shows_its_formula_and_every_coefficient_with_its_interval(fitted):
    told = read(fitted)
    assert told["b"] == [f"chinchilla of c4/loss: {fitted.law.formula}"]
    rows = [told["td"][i : i + 3] for i in range(0, len(told["td"]), 3)]
    assert {name: float(value) for name, value, _ in rows} == pytest.approx(fitted.coefficients, rel=1e-4)
    assert {interval for _, _, interval in rows} == {"none"}
    resampled = redraw_noise(fitted, 40)
    told = read(resampled)
    for name, interval in zip(told["td"][::3], told["td"][2::3], strict=True):
        low, high = map(float, interval.split(" – "))
        assert (low, high) == pytest.approx(resampled.intervals(0.8)[name], rel=1e-3)


def test_names_in_a_fit_are_text(fitted):
    points = replace(fitted.points, metric=Metric(name=f"{NASTY}/loss", unit="nats/token"))
    assert read(replace(fitted, points=points))["b"] == [f"chinchilla of {NASTY}/loss: {fitted.law.formula}"]


def test_a_backtest_shows_each_metric_and_what_failed():
    outcomes = tuple(
        Outcome("by C", forecast(name), 0.65 + gap, 0.5, 0.25)
        for name, gap in (("a/acc", 0.02), ("a/acc", 0.10), (f"{NASTY}/acc", 0.0))
    )
    told = read(Backtest("ladder", outcomes, (NASTY,)))
    assert told["td"] == [f"{NASTY}/acc", "1", "0.00", "100%", "a/acc", "2", "6.00", "50%"]
    assert told["li"] == [NASTY]
