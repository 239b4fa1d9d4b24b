"""The canvas of every figure: an empty one, and how it becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import ForetellError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160


def blank_figure(width: float, height: float) -> Figure:
    """Give an empty figure of a size in inches, drawn without a screen and without pyplot's list of open figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, path: str | Path, dpi: int = DPI) -> Path:
    """Write a figure as its ending says: PNG, SVG or PDF; raises ForetellError when it cannot be written."""
    try:
        figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:
        raise ForetellError(f"the figure {path} cannot be written: {error}") from None
    return Path(path)
