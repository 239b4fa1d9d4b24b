"""The what-if panel: sliders for N and D, evaluated in the page."""

from __future__ import annotations

from foretell.report.page.chart import inert
from foretell.report.page.contents import Contents
from foretell.report.page.html import Html, joined, tag
from foretell.report.page.section import Section
from foretell.report.page.whatif import whatif_of
from foretell.report.page.words import level_words

LEVELS = (0.5, 0.8, 0.9, 0.95)


def whatif(contents: Contents) -> Section | None:
    """Place the panel and the laws it evaluates; nothing where no law leads from N and D to a metric."""
    data = whatif_of(contents.chains, contents.targets, exact=contents.exact, level=contents.level)
    if not data["metrics"]:
        return None
    words = "Move the sliders: the page evaluates the fitted laws with their draws, here in your browser."
    if not contents.exact:
        words += " The laws are those of the method ladder; the forecasts above come from another method."
    options = [
        tag("option", level_words(level), value=level, selected=level == contents.level)
        for level in sorted({*LEVELS, contents.level})
    ]
    names = [tag("option", entry["name"], value=i) for i, entry in enumerate(data["metrics"])]
    body = joined(
        tag("p", words),
        tag(
            "div",
            tag(
                "div",
                _slider("N", "Parameters N"),
                _slider("D", "Training tokens D"),
                tag(
                    "div",
                    tag("label", "Interval ", tag("select", *options, id="level")),
                    tag("label", "Curve of ", tag("select", *names, id="focus")),
                    tag("button", "Back to the target", type="button", id="reset"),
                    class_="controls",
                ),
                tag("p", id="reach", class_="reach", role="status"),
            ),
            tag(
                "figure",
                tag("div", id="curve"),
                tag("figcaption", "How the forecast changes with D at this N; dots are the small runs nearest in N."),
                class_="live",
            ),
            class_="panel",
        ),
        tag(
            "div", id="whatif-table", class_="scroll", tabindex=0, role="region", aria_label="Forecasts at this N and D"
        ),
        tag("noscript", tag("p", "This panel and the charts need JavaScript; tables and text do not.")),
        Html(f'<script type="application/json" id="whatif-data">{inert(data)}</script>'),
        Html(f'<script type="application/json" id="whatif-runs">{inert(_runs(contents))}</script>'),
    )
    return Section("what-if", "What if it were larger, or trained longer?", body, "What if")


def _slider(name: str, label: str) -> Html:
    return tag(
        "div",
        tag("label", label, for_=f"slider-{name}"),
        tag(
            "input",
            type="text",
            id=f"text-{name}",
            aria_label=f"{label}, written",
            inputmode="text",
            autocomplete="off",
        ),
        tag("input", type="range", id=f"slider-{name}", min=0, max=1000, step="any"),
        class_="slider",
    )


def _runs(contents: Contents) -> dict[str, dict[str, list[float]]]:
    """Give what the small runs measured, for the dots beside the curve."""
    training = contents.observations.training()
    made = {}
    for chain in contents.chains:
        points = training.metric(chain.metric.name)
        made[chain.metric.name] = {
            "N": [float(f"{v:.5g}") for v in points.input("N")],
            "D": [float(f"{v:.5g}") for v in points.input("D")],
            "y": [float(f"{v:.5g}") for v in points.value],
        }
    return made
