"""Figures for papers: one column or a whole page wide, with type that stays legible at that size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.errors import ForetellError, UnknownName
from foretell.report.canvas import blank_figure, check_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = {"column": 3.3, "page": 6.9}  # inches: of the two-column layouts of the field's conferences and journals
_STYLE: Any = {
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.linewidth": 0.6, "lines.linewidth": 1.1, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e2e2e2", "grid.linewidth": 0.5,
    "axes.axisbelow": True, "legend.frameon": False, "pdf.fonttype": 42, "svg.fonttype": "none", "savefig.dpi": 300,
}  # fmt: skip


@contextmanager
def paper_figure(path: str | Path, width: str, height: float) -> Iterator[Figure]:
    """Give an empty figure of a width (column or page) and height in inches, and write it to the path at the end.

    Fonts are embedded as text. Raises UnknownName for another width, ForetellError for another ending or when it
    cannot be written.
    """
    file = Path(path)
    if width not in WIDTHS:
        raise UnknownName("width", width, WIDTHS)
    check_figure(file)
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure = blank_figure(WIDTHS[width], height)
        yield figure
        try:
            figure.savefig(file)
        except OSError as error:
            raise ForetellError(f"the figure {path} cannot be written: {error}") from None
