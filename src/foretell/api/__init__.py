"""What a notebook or the command line asks for: one function a verb."""

from foretell.api.forecasts import (
    RESAMPLERS,
    ablate,
    backtest,
    calibration,
    compare,
    fit_metric,
    forms,
    metrics_of,
    open,
    outlook,
    predict,
    study_doubts,
    target,
)  # fmt: skip

__all__ = [
    "RESAMPLERS", "ablate", "backtest", "calibration", "compare", "fit_metric", "forms", "metrics_of", "open",
    "outlook", "predict", "study_doubts", "target",
]  # fmt: skip
