"""The question that was asked, with its answer."""

from __future__ import annotations

from foretell.forecast import Forecast, Target
from foretell.report.page.contents import Contents
from foretell.report.page.html import Html, joined, tag
from foretell.report.page.section import Section
from foretell.report.page.words import interval_words, level_words, reach_words, task_words, unit_words, value_words
from foretell.units import format_count

MOST_ASKED = 3  # targets that the question names
MOST_CARDS = 16  # a target; beyond, the table of forecasts serves better


def answer(contents: Contents) -> Section | None:
    """Show each target's forecasts as cards: value, interval, and what was measured where it was."""
    blocks = [_of_target(contents, target) for target in contents.targets]
    return Section("answer", question(contents), joined(*blocks), "Answer")


def question(contents: Contents) -> str:
    """Ask what the report answers."""
    names = [
        t.name or f"{format_count(t.N)} parameters on {format_count(t.D)} tokens" for t in contents.targets[:MOST_ASKED]
    ]
    more = f" and {len(contents.targets) - MOST_ASKED} more" if len(contents.targets) > MOST_ASKED else ""
    what = "score" if all(metric.is_share for metric in contents.metrics) else "reach"
    return f"What will {' and '.join(names)}{more} {what}?"


def _of_target(contents: Contents, target: Target) -> Html:
    forecasts = contents.of(target)
    facts = [f"N = {format_count(target.N)}", f"D = {format_count(target.D)}"]
    facts += [f"C = {target.C:.3g} FLOP"] if target.C else []
    facts += [reach_words(forecasts[0].reach)]
    cards = [_card(contents, forecast) for forecast in forecasts[:MOST_CARDS]]
    left = len(forecasts) - MOST_CARDS
    more = tag("p", f"… and {left} more metrics below.", class_="dim") if left > 0 else ""
    said = _verdict(contents, forecasts)
    return tag(
        "div",
        tag("h2", target.label),
        tag("p", " · ".join(facts), class_="dim"),
        tag("ul", *cards, class_="cards"),
        more,
        tag("p", said) if said else "",
        class_="target",
    )


def _card(contents: Contents, forecast: Forecast) -> Html:
    metric, measured = forecast.metric, contents.measured(forecast)
    inside = ""
    if measured is not None and len(forecast.draws):
        low, high = forecast.interval(contents.level)
        inside = "inside" if low <= measured <= high else "outside"
    beside: Html | str = ""
    if measured is not None:
        mark = {"inside": "✓ inside", "outside": "✗ outside", "": ""}[inside]
        said = tag("span", f"measured {value_words(metric, measured)}")
        beside = tag("span", said, tag("span", mark), class_=f"measured {inside}".strip())
    return tag(
        "li",
        tag("span", task_words(metric), class_="name"),
        tag("span", value_words(metric, forecast.value), class_="value"),
        tag("span", f"{level_words(contents.level)}: {interval_words(forecast, contents.level)}", class_="interval"),
        tag("span", unit_words(metric), class_="unit"),
        beside,
        data_metric=metric.name,
    )


def _verdict(contents: Contents, forecasts: list[Forecast]) -> str:
    """Say how the forecasts of a target turned out, where it was measured."""
    known = [(f, m) for f in forecasts if (m := contents.measured(f)) is not None]
    if not known:
        return ""
    shares = [(f, m) for f, m in known if f.metric.is_share] or known
    points = shares[0][0].metric.is_share
    errors = [abs(f.value - m) if points else abs(f.value / m - 1.0) for f, m in shares]
    drawn = [(f, m) for f, m in shares if len(f.draws)]
    inside = sum(f.interval(contents.level)[0] <= m <= f.interval(contents.level)[1] for f, m in drawn)
    said = f"Off by {100 * sum(errors) / len(errors):.1f} {'points' if points else '%'} on average"
    return said + (
        f"; {inside} of {len(drawn)} measurements lie in their {level_words(contents.level)} interval."
        if drawn
        else "."
    )
