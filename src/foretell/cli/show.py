"""What the verbs print: numbers rounded with their doubt, tables, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from foretell.forecast import Forecast


def console(*, stderr: bool = False) -> Console:
    """Make a console; wide enough for a table when the output is no terminal.

    Names are printed as they are: brackets in them, as in `task[strict-match]/acc`, are no markup.
    """
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=140, soft_wrap=True)
    return made


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite become null."""
    print(json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


@contextmanager
def working(message: str, *, quiet: bool) -> Iterator[None]:
    """Show on the error stream that work is going on."""
    if quiet:
        yield
        return
    from rich.markup import escape

    with console(stderr=True).status(escape(message)):
        yield


@contextmanager
def reading(what: str, *, quiet: bool) -> Iterator[None]:
    """Show on the error stream which file is read, how many there were, and how far a long one is."""
    from rich.markup import escape

    from foretell.sources.guard import telling

    err = console(stderr=True)
    if quiet or not err.is_terminal:
        yield
        return
    files = 0
    with err.status(escape(f"reading {what}")) as status:

        def tell(path: Path, line: int) -> None:
            nonlocal files
            files += line == 0
            at = f", line {line:,}" if line else ""
            status.update(escape(f"reading {what}: file {files:,}, {path.name}{at}"))

        with telling(tell):
            yield


def rounded(value: float, error: float) -> str:
    """Write a value with its standard error in the last digits: `1.692(4)`; four digits where that says nothing."""
    if not (math.isfinite(error) and math.isfinite(value)) or error <= 0:
        return f"{value:.4g}"
    if error >= abs(value) or abs(value) >= 1e5 or abs(value) < 1e-4:
        return f"{value:.3g} ± {error:.1g}"
    digits = -math.floor(math.log10(error))
    last = round(error * 10**digits)
    if last == 10:  # 0.096 rounds to 0.10
        digits, last = digits - 1, 1
    if digits <= 0:
        return f"{round(value, digits):.0f}({last * 10**-digits:.0f})"
    return f"{value:.{digits}f}({last})"


def standard_error(low: float, high: float, level: float) -> float:
    """Give the standard error of a normal whose central interval at a level is low to high."""
    from statistics import NormalDist

    return (high - low) / 2.0 / NormalDist().inv_cdf(0.5 + level / 2.0)


def percent(share: float) -> str:
    """Write a share 0..1 in points."""
    return f"{100 * share:.1f}"


def forecast_cells(forecast: Forecast, level: float) -> tuple[str, str]:
    """Write a forecast's value and interval in its metric's way: points for shares, four digits otherwise."""
    from foretell.units import format_four

    write = percent if forecast.metric.is_share else format_four
    if not len(forecast.draws):
        return write(forecast.value), "none"
    low, high = forecast.interval(level)
    return write(forecast.value), f"[{write(low)}, {write(high)}]"


def print_doubts(doubts: Sequence[tuple[str, str]]) -> None:
    """Print each doubt once, with what it is about."""
    about: dict[str, list[str]] = {}
    for subject, doubt in doubts:
        about.setdefault(doubt, []).append(subject)
    out = console()
    for doubt, subjects in about.items():
        named = list(dict.fromkeys(subjects))
        of = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        out.print("  doubt ", style="yellow", end="")
        out.print(f"{doubt} ({of})" if of else doubt, markup=False)


def reach_words(reach: float) -> str:
    """Write how far a target lies beyond the data."""
    return f"{reach:.1f} decades" if reach > 0 else "inside"
