"""What speaks against the forecasts, in plain words."""

from __future__ import annotations

from foretell.report.page.contents import Contents
from foretell.report.page.html import joined, tag
from foretell.report.page.section import Section

MOST_NAMED = 4


def doubts(contents: Contents) -> Section | None:
    """List every doubt once with what it is about, how methods chose, and what could not be forecast."""
    about: dict[str, list[str]] = {}
    for forecast in contents.forecasts:
        for doubt in forecast.doubts:
            of = about.setdefault(doubt, [])
            subject = forecast.target.label if "D/N" in doubt or "extrapolation" in doubt else forecast.metric.name
            if subject not in of:
                of.append(subject)
    items = []
    for doubt, subjects in about.items():
        if len(subjects) == len(contents.metrics) > 1:
            named = "every metric"
        else:
            named = ", ".join(subjects[:MOST_NAMED])
            named += f" and {len(subjects) - MOST_NAMED} more" if len(subjects) > MOST_NAMED else ""
        kind, colon, rest = doubt.partition(":")
        words = joined(tag("strong", f"{kind}:"), rest) if colon and len(kind) < 40 else joined(doubt)
        items.append(tag("li", words, " ", tag("span", f"({named})", class_="dim")))
    blocks = [tag("ul", *items, class_="doubts")] if items else [tag("p", "None was found.")]
    if contents.failures:
        lost = [tag("li", failure) for failure in contents.failures]
        blocks += [tag("h3", "Not forecast"), tag("ul", *lost)]
    reasons = list(dict.fromkeys(forecast.reason for forecast in contents.forecasts if forecast.reason))
    if reasons:
        chosen = tag("ul", *(tag("li", reason) for reason in reasons))
        blocks.append(tag("details", tag("summary", "How the method chose"), chosen))
    return Section("doubts", "What speaks against it", joined(*blocks), "Doubts")
