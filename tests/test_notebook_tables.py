"""What a notebook shows of each result: its values, and every name as text."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import foretell as ft
from foretell.fitting import fit, redraw_noise
from foretell.forecast import DEFAULT_PARTS, Forecast, Forecasts, Target
from foretell.judge import Backtest, Comparison
from foretell.judge.ablate import Ablation, Arm
from foretell.judge.backtest import Outcome
from foretell.judge.horizons import Horizons
from foretell.judge.sealed import Scorecard, Verdict
from foretell.laws import LAWS
from foretell.methods.in_progress import Outlook
from foretell.methods.ranking import LossScore, Ranking, Score
from foretell.mixing import Optimum, Transfer
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


def test_several_forecasts_are_one_table_and_a_doubt_they_share_is_said_once():
    made = Forecasts([forecast(doubts=("far out",)), forecast(f"{NASTY}/acc", doubts=("far out",), target=NASTY)])
    told = read(made)
    assert told["td"][::6] == ["7B on 1T", NASTY]
    assert told["td"][3::6] == ["65", "65"]
    assert told["li"] == [f"far out (task/acc, {NASTY}/acc)"]


def test_a_comparison_puts_the_method_of_least_error_first():
    outcomes = [(Outcome("by C", forecast(value=0.65 + gap), 0.65, 0.5, 0.25),) for gap in (0.04, 0.01)]
    told = read(Comparison([Backtest("worse", outcomes[0]), Backtest(NASTY, outcomes[1])], [NASTY]))
    assert told["td"][::6] == [NASTY, "worse"]
    assert told["td"][3::6] == ["1.00", "4.00"]
    assert told["li"] == [NASTY]


def test_an_ablation_shows_each_arm_and_what_failed():
    tried = Backtest("ladder", (Outcome("by C", forecast(), 0.63, 0.5, 0.25),))
    whole = Arm("sizes", "the whole ladder", 1e20, 8, 8, tried)
    told = read(Ablation(NASTY, whole, (Arm("sizes", NASTY, 1e19, 4, 4, None, failure=NASTY),), 1e21))
    assert told["td"] == ["whole", "the whole ladder", "1e+20", "2.00", "sizes", NASTY, "1e+19", "none"]
    assert told["li"] == [f"{NASTY}: {NASTY}"]
    assert told["b"] == [f"ablation, hidden: {NASTY}"]


def test_a_ranking_shows_the_losses_in_order():
    drawn = Score(0.02, np.linspace(0.01, 0.03, 101))
    one = LossScore(NASTY, drawn, Score(0.01, np.empty(0)), drawn, drawn, Score(1.0, np.ones(9)), 0.004, ())
    split = ft.Split(NASTY, None, None)
    told = read(Ranking(Horizons(split, (1.0,), (2.0,), ()), ("task/acc",), (one,), (NASTY,), ((NASTY, "few"),)))
    assert told["td"] == ["1", NASTY, "2.00", "1.20 – 2.80", "1.00", "0.4 %"]
    assert told["li"] == [f"{NASTY}: few", NASTY]


def test_a_score_shows_what_held():
    seal = ft.Seal((forecast(),), "2026-01-01", "0", NASTY, "", {}, {}, "f" * 64)
    told = read(Scorecard(seal, (Verdict(forecast(target=NASTY), 0.8), Verdict(forecast(), 0.66)), (NASTY,)))
    assert told["td"][:1] == [NASTY]
    assert told["td"][5:7] + told["td"][13:15] == ["80", "no", "66", "yes"]
    assert told["li"] == [f"not measured: {NASTY}"]


def test_mixtures_show_shares_with_their_intervals():
    share, draws = np.array([0.25, 0.75]), np.tile([[0.2, 0.8], [0.3, 0.7]], (20, 1))
    two = np.zeros(2)
    best = Optimum(
        ("wiki", NASTY), share, 2.5, two, two, draws, two, np.array([4.0, 0.5]), {}, share, 2.6, (NASTY,)
    )  # fmt: skip
    told = read(best)
    assert told["td"][:5] == ["wiki", "0.250", "0.200 – 0.300", "4.00", "0.250"]
    assert (told["td"][5], told["li"]) == (NASTY, [NASTY])
    told = read(Transfer(("wiki", NASTY), 1e12, share, draws, NASTY, {"naive": share[::-1]}, (), (NASTY,)))
    assert told["td"][:4] == ["wiki", "0.250", "0.200 – 0.300", "0.750"]
    assert told["b"] == [f"mixture for 1T tokens, carried by {NASTY}"]


def test_an_outlook_ends_with_the_planned_end():
    step, value = np.arange(1.0, 61.0), np.linspace(3.0, 2.5, 60)
    told = read(Outlook(NASTY, 0.5, step, value, np.tile(value, (20, 1)), 0.01, doubts=(NASTY,)))
    assert told["td"][-3:] == ["60", "2.5000", "2.5000 – 2.5000"]
    assert told["b"] == [f"{NASTY}: forecast from the first 50 %"]


def test_a_plan_shows_its_rungs_and_its_cost():
    made = ft.plan("7B", "4T", "1%")
    told = read(made)
    assert told["td"][::6] == [rung.name for rung in made.rungs]
    assert float(told["li"][0].split()[1]) == pytest.approx(made.flop, rel=0.01)
    assert made.flop <= made.budget
