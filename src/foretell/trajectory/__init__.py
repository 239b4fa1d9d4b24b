"""Which tokens, texts and tasks are learned when, across sizes (Xia 2023)."""

from foretell.methods.pooled import Pooling, compare_pooled
from foretell.methods.token_predictor import TokenPredictor, compare_predictors
from foretell.trajectory.alignment import Alignment, align
from foretell.trajectory.categories import Categories, classify
from foretell.trajectory.emergence import Emergence, breakthroughness, emergence_point, linearity
from foretell.trajectory.losses import RunLosses, TokenLosses
from foretell.trajectory.overlap import Overlap, overlap_of
from foretell.trajectory.rule import STARTS, Category
from foretell.trajectory.sequences import SequenceCurve, turning_of
from foretell.trajectory.trace import Trace, trace_tokens

__all__ = [
    "STARTS",
    "Alignment",
    "Categories",
    "Category",
    "Emergence",
    "Overlap",
    "Pooling",
    "RunLosses",
    "SequenceCurve",
    "TokenLosses",
    "TokenPredictor",
    "Trace",
    "align",
    "breakthroughness",
    "classify",
    "compare_pooled",
    "compare_predictors",
    "emergence_point",
    "linearity",
    "overlap_of",
    "trace_tokens",
    "turning_of",
]
