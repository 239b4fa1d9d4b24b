"""Charts as data: what a page draws, in which axes, with which words at hand for those who cannot see it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.report.page.html import Html, tag

Numbers = Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]


def series(
    name: str,
    mark: str,
    x: Numbers,
    y: Numbers,
    *,
    colour: str = "blue",
    low: Numbers | None = None,
    high: Numbers | None = None,
    text: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Describe one series; `mark` is points, diamonds, line, dashed, band or rule, `low` and `high` its interval."""
    made: dict[str, Any] = {"name": name, "mark": mark, "colour": colour, "x": short(x), "y": short(y)}
    if low is not None and high is not None:
        made |= {"low": short(low), "high": short(high)}
    if text is not None:
        made["text"] = list(text)
    return made


def axis(label: str, *, unit: str = "number", log: bool = False, zero: bool = False) -> dict[str, Any]:
    """Describe an axis; `unit` is number, count, share (written in points) or percent."""
    return {"label": label, "unit": unit, "log": log, "zero": zero}


def short(values: Numbers) -> list[float | None]:
    """Write numbers with five significant digits, enough for a picture."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def xy(label: str, x: dict[str, Any], y: dict[str, Any], parts: list[dict[str, Any]], height: int = 300) -> Html:
    """Place a chart of two axes; `label` says in words what it shows."""
    return place({"kind": "xy", "label": label, "x": x, "y": y, "series": parts, "height": height})


def rows(label: str, x: dict[str, Any], marks: list[dict[str, Any]], *, level: float) -> Html:
    """Place a chart of one row a metric: interval, value, what was measured, what the largest run scored."""
    return place({"kind": "rows", "label": label, "x": x, "rows": marks, "level": level})


def place(spec: dict[str, Any]) -> Html:
    """Place a chart for the page's script to draw; its data are inert JSON beside it."""
    data = Html(f'<script type="application/json">{inert(spec)}</script>')
    return tag("figure", data, tag("figcaption", spec["label"]), class_="chart")


def inert(value: Any) -> str:
    """Write JSON that no HTML parser and no script can take for anything else."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
