"""Pictures of forecasts, for papers and pages."""

from foretell.report.comparison_figure import draw_comparison
from foretell.report.forecast_figure import draw_forecasts

__all__ = ["draw_comparison", "draw_forecasts"]
