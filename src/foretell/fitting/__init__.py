"""Fitting: solve, resample, doubt."""

from foretell.fitting.doubts import doubts_of, reach_doubts
from foretell.fitting.fit import Fit, fit
from foretell.fitting.objective import Objective, parse_objective
from foretell.fitting.resample import redraw_noise, resample_runs

__all__ = ["Fit", "Objective", "doubts_of", "fit", "parse_objective", "reach_doubts", "redraw_noise", "resample_runs"]
