"""Predict a large language-model training run from small ones, with honest error bars."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.api import ablate, backtest, compare, fit_metric, open, outlook, predict, target
    from foretell.fitting import Fit, doubts_of, fit
    from foretell.forecast import Forecast, Settings, Target
    from foretell.judge import Backtest
    from foretell.laws import LAWS, Coefficient, Law
    from foretell.report import draw_forecasts
    from foretell.sources import read
    from foretell.table import Metric, Observations, Run
    from foretell.table import save_study as save

__version__ = "0.1.0"

_PLACES = {  # where each name lives; looked up when first used, so that importing foretell costs nothing
    "open": "api", "predict": "api", "backtest": "api", "fit_metric": "api", "target": "api",
    "compare": "api", "ablate": "api", "outlook": "api",
    "fit": "fitting", "Fit": "fitting", "doubts_of": "fitting",
    "Forecast": "forecast", "Settings": "forecast", "Target": "forecast",
    "Backtest": "judge", "LAWS": "laws", "Coefficient": "laws", "Law": "laws", "draw_forecasts": "report",
    "read": "sources", "Metric": "table", "Observations": "table", "Run": "table", "save": "table",
}  # fmt: skip
_OTHER_NAMES = {"save": "save_study"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'foretell' has no attribute {name!r}")
    return getattr(import_module(f"foretell.{_PLACES[name]}"), _OTHER_NAMES.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])


__all__ = [
    "LAWS", "Backtest", "Coefficient", "Fit", "Forecast", "Law", "Metric", "Observations", "Run", "Settings", "Target",
    "ablate", "backtest", "compare", "doubts_of", "draw_forecasts", "fit", "fit_metric", "open", "outlook", "predict",
    "read", "save", "target",
]  # fmt: skip
