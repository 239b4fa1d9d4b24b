"""Forecasts and fits as files that other tools read: JSON, CSV, Parquet, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from foretell.errors import ForetellError, UnknownName
from foretell.wholefile import whole_file

if TYPE_CHECKING:
    from foretell.fitting import Fit
    from foretell.forecast import Forecast

Row = Mapping[str, str | float | int | None]
Format = Literal["json", "csv", "parquet", "latex"]

FORMATS: tuple[Format, ...] = ("json", "csv", "parquet", "latex")
LEVELS = (0.5, 0.8, 0.9, 0.95)
# A spreadsheet runs a cell that begins so as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\n": " ", "\r": " ", "–": "--", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$",
}  # fmt: skip


def forecast_rows(forecasts: Sequence[Forecast]) -> list[Row]:
    """Give a row a forecast: target, metric, method, value, the bounds of four intervals, reach, doubts."""
    made: list[Row] = []
    for forecast in forecasts:
        target = forecast.target
        row: dict[str, str | float | int | None] = {
            "target": target.label, "N": target.N, "D": target.D, "C": target.C, "metric": forecast.metric.name,
            "unit": forecast.metric.unit, "method": forecast.method, "value": forecast.value,
        }  # fmt: skip
        for level in LEVELS:
            low, high = forecast.interval(level) if len(forecast.draws) else (None, None)
            row |= {f"low_{100 * level:.0f}": low, f"high_{100 * level:.0f}": high}
        made.append({**row, "reach": forecast.reach, "doubts": "; ".join(forecast.doubts)})
    return made


def fit_rows(fits: Sequence[Fit], level: float = 0.8) -> list[Row]:
    """Give a row a coefficient: metric, law, formula, coefficient, value, low, high, level, unit, source."""
    made: list[Row] = []
    for fit in fits:
        bounds = fit.intervals(level) if fit.draws is not None else {}
        for name, value in fit.coefficients.items():
            low, high = bounds.get(name, (None, None))
            made.append(
                {
                    "metric": fit.points.metric.name, "law": fit.law.name, "formula": fit.law.formula,
                    "coefficient": name, "value": value, "low": low, "high": high, "level": level,
                    "unit": fit.law.coefficient(name).unit, "n": len(fit), "objective": str(fit.objective),
                    "source": fit.law.source,
                }
            )  # fmt: skip
    return made


def write_rows(rows: Sequence[Row], path: str | Path, to: str, *, caption: str = "") -> Path:
    """Write rows in one of the formats; raises UnknownName for another, ForetellError where there is nothing."""
    if to not in FORMATS:
        raise UnknownName("format", to, FORMATS)
    if not rows:
        raise ForetellError("there is nothing to write: no forecast and no fit")
    if to == "parquet":
        import polars as pl

        buffer = io.BytesIO()
        pl.DataFrame(list(rows), infer_schema_length=None).write_parquet(buffer)
        return write_whole(path, buffer.getvalue())
    text = {"json": json_text, "csv": csv_text}[to](rows) if to != "latex" else latex_text(rows, caption)
    return write_whole(path, text.encode())


def json_text(rows: Sequence[Row]) -> str:
    """Write rows as a JSON list; numbers that are not finite become null."""
    plain = [{key: _finite(value) for key, value in row.items()} for row in rows]
    return json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """Write rows as CSV; text that a spreadsheet would run as a formula gets an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # RFC 4180: lines end in CR LF, and text with either is quoted
    writer.writerow([_cell(name) for name in rows[0]])
    for row in rows:
        writer.writerow(["" if (value := _finite(cell)) is None else _cell(value) for cell in row.values()])
    return buffer.getvalue()


def latex_text(rows: Sequence[Row], caption: str = "") -> str:
    """Write rows as a LaTeX table of booktabs; forecasts in their own columns, anything else as it stands."""
    wanted = {"target": "target", "metric": "metric", "value": "forecast", "low_80": "80\\,\\% low", "high_80": "high",
              "reach": "decades beyond"}  # fmt: skip
    columns = {name: wanted.get(name, latex(name)) for name in (wanted if "low_80" in rows[0] else rows[0])}
    numeric = [isinstance(rows[0].get(name), int | float) for name in columns]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        *([f"  \\caption{{{latex(caption)}}}"] if caption else []),
        f"  \\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
        "    \\toprule",
        f"    {' & '.join(columns.values())} \\\\",
        "    \\midrule",
    ]
    lines += [f"    {' & '.join(_latex_cell(row, name) for name in columns)} \\\\" for row in rows]
    lines += ["    \\bottomrule", "  \\end{tabular}", "\\end{table}", ""]
    return "\n".join(lines)


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_cell(row: Row, name: str) -> str:
    value = _finite(row[name])
    if value is None:
        return "--"
    if isinstance(value, str):
        return latex(value)
    if row.get("unit") in ("accuracy", "error") and name in ("value", "low_80", "high_80"):
        return f"{100 * value:.1f}"
    written = f"{value:.1f}" if name == "reach" else f"{value:.4g}"
    power = re.fullmatch(r"(.+)e([+-])0*(\d+)", written)
    return f"${power[1]}\\times10^{{{power[2].strip('+')}{power[3]}}}$" if power else written.replace("-", "$-$")


def _cell(value: str | float | int) -> str | float | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write a file whole or not at all; raises ForetellError when it cannot be written."""
    file = Path(path)
    try:
        with whole_file(file) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ForetellError(f"{file} cannot be written: {error.strerror or error}") from None
    return file
