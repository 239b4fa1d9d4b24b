"""A comparison: several methods backtested on the same hidden rows."""

from __future__ import annotations

from typing import NamedTuple

from foretell.judge.backtest import Backtest
from foretell.markup import small_table


class Comparison(NamedTuple):
    """Hold a backtest for each method, and why the methods left out could not be compared."""

    backtests: list[Backtest]
    failures: list[str]

    def _repr_html_(self) -> str:
        rows = []
        for share, kind in ((True, "shares, points"), (False, "others, %")):
            parts = [part for backtest in self.backtests if (part := backtest.of_shares(share)).outcomes]
            for part in sorted(parts, key=lambda part: part.error()):
                drawn = all(len(outcome.forecast.draws) for outcome in part.outcomes)
                held = f"{part.coverage(0.8)[0]:.0%}" if drawn else "none"
                errors = (f"{100 * part.error():.2f}", f"{100 * part.median_error():.2f}")
                rows.append((part.method, kind, str(len(part.outcomes)), *errors, held))
        head = ("method", "kind", "n", "mean |error|", "median", "80 % held")
        return small_table("methods on the same hidden rows", head, rows, self.failures)
