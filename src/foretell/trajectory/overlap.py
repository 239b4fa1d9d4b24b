"""The overlap of a category between two runs: which tokens of one are also in the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretell.errors import StudyError
from foretell.trajectory.categories import Categories
from foretell.trajectory.rule import Category


@dataclass(frozen=True)
class Overlap:
    """Hold how a category of tokens in a smaller run meets that in a larger one.

    `jaccard` is |both| / |either|; `containment` the share of the smaller run's tokens that are also the larger's, and
    `expected` what it would be were the two independent.
    """

    smaller: str
    larger: str
    category: Category
    start: float
    jaccard: float
    containment: float
    expected: float


def overlap_of(smaller: Categories, larger: Categories, category: Category, start: float) -> Overlap:
    """Compare the tokens of a category; raises StudyError when the runs were measured on different probes.

    Empty sets have no overlap: its numbers are nan.
    """
    if smaller.codes.shape[1] != larger.codes.shape[1]:
        raise StudyError(
            f"{smaller.run!r} was measured on {smaller.codes.shape[1]} tokens, {larger.run!r} on "
            f"{larger.codes.shape[1]}; compare runs on one probe"
        )
    a, b = smaller.tokens_in(category, start), larger.tokens_in(category, start)
    both, either, mine = int((a & b).sum()), int((a | b).sum()), int(a.sum())
    return Overlap(
        smaller=smaller.run,
        larger=larger.run,
        category=category,
        start=start,
        jaccard=both / either if either else np.nan,
        containment=both / mine if mine else np.nan,
        expected=float(b.mean()) if mine else np.nan,
    )
