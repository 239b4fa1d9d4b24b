"""Pictures of forecasts, for papers and pages."""

from foretell.report.forecast_figure import draw_forecasts

__all__ = ["draw_forecasts"]
