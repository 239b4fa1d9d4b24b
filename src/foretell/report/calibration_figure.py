"""Figure of a calibration: how the measurements lie among the draws that were forecast for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError
from foretell.report.colours import BLUE, GREY, ORANGE
from foretell.report.paper import paper_figure

BINS = 10


def draw_pit(parts: Mapping[str, NDArray[np.float64]], path: str | Path, *, width: str = "column") -> Path:
    """Draw the histogram of the PIT (n,) of each part, a panel each: flat where the draws are right.

    High ends say that the draws are too narrow, a high middle that they are too wide, a slope that they lean. The band
    holds 95 % of the bars that n independent measurements would give. Raises ForetellError where a part is empty.
    """
    if not parts or not all(len(pit) for pit in parts.values()):
        raise ForetellError("there is nothing to draw: a histogram needs at least one measurement beside its draws")
    with paper_figure(path, width, 1.7 * len(parts)) as figure:
        panels = figure.subplots(len(parts), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        for axes, (label, pit), colour in zip(panels, parts.items(), [BLUE, ORANGE] * len(parts), strict=False):
            n = len(pit)
            counts = np.histogram(pit, BINS, (0.0, 1.0))[0]
            slack = 1.96 * np.sqrt(BINS / n * (1.0 - 1.0 / BINS))
            axes.axhspan(max(0.0, 1.0 - slack), 1.0 + slack, color=GREY, alpha=0.25, lw=0)
            axes.axhline(1.0, color=GREY, lw=0.8)
            axes.bar(
                (np.arange(BINS) + 0.5) / BINS, counts * BINS / n, 0.92 / BINS, color=colour, label=f"{label} (n = {n})"
            )
            axes.set_ylabel("density")
            axes.margins(y=0.35)  # room for the legend
            axes.legend(loc="upper center")
        panels[-1].set_xlabel("share of the draws below the measurement")
        panels[-1].set_xlim(0.0, 1.0)
    return Path(path)
