"""Noised text: a share of its tokens replaced by random ones (Xia 2023, arXiv 2212.09803)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretell.errors import CorpusError
from foretell.lm.perplexity import TextSet

Ids = NDArray[np.int64]

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # 2212.09803, §4.1


def noised(tokens: Ids, *, vocabulary: int, eos: int, shares: Sequence[float] = SHARES, seed: int = 0) -> list[TextSet]:
    """Replace a share of the tokens of each text (n, w) by ones drawn evenly from the vocabulary, but for `eos`.

    What a smaller share replaces, a larger one replaces by the same. Raises CorpusError for a share outside 0..1.
    """
    if bad := [share for share in shares if not 0.0 <= share <= 1.0]:
        raise CorpusError(f"{bad[0]:g} of the tokens cannot be replaced; give shares between 0 and 1")
    rng = np.random.default_rng(seed)
    n, width = tokens.shape
    rank = rng.permuted(np.tile(np.arange(width), (n, 1)), axis=1)
    drawn = rng.integers(0, vocabulary - 1, size=(n, width))
    drawn += drawn >= eos
    return [
        TextSet("noised", f"{round(100 * share)} %", np.where(rank < round(share * width), drawn, tokens))
        for share in shares
    ]
