"""Judgement: hold-outs, backtests, scores, and the width that they ask of an interval."""

from foretell.judge.backtest import LEVELS, Backtest, Outcome, backtest
from foretell.judge.comparison import Comparison
from foretell.judge.score import binomial_interval, interval_score
from foretell.judge.split import AXES, SHARES, Split, splits_of, targets_of
from foretell.judge.widen import widened

__all__ = [
    "AXES", "LEVELS", "SHARES", "Backtest", "Comparison", "Outcome", "Split", "backtest", "binomial_interval",
    "interval_score", "splits_of", "targets_of", "widened",
]  # fmt: skip
