"""The canvas of every figure: an empty one, and how it becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import ForetellError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160
ENDINGS = (".png", ".svg", ".pdf")


def blank_figure(width: float, height: float) -> Figure:
    """Give an empty figure of a size in inches, drawn without a screen and without pyplot's list of open figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_figure(path: str | Path) -> Path:
    """Refuse a figure's file whose ending is none of .png, .svg and .pdf, or whose folder is not there."""
    file = Path(path)
    if file.suffix.lower() not in ENDINGS:
        ends = f"ends in {file.suffix!r}" if file.suffix else "has no ending"
        raise ForetellError(f"the figure {file} {ends}; a figure ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if not file.parent.is_dir():
        raise ForetellError(f"the figure {file} cannot be written: there is no folder {file.parent}; make it first")
    return file


def write_figure(figure: Figure, path: str | Path, dpi: int = DPI) -> Path:
    """Write a figure as its ending says: PNG, SVG or PDF; raises ForetellError when it cannot be written."""
    check_figure(path)
    try:
        figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:
        raise ForetellError(f"the figure {path} cannot be written: {error}") from None
    return Path(path)
