"""A figure of a run in progress: what was measured at each look, what was forecast, and the rest with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretell.report.canvas import blank_figure, write_figure
from foretell.report.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from foretell.methods.in_progress import Outlook
    from foretell.methods.leaving import Watch


def draw_outlook(made: Outlook, watched: Watch, path: str | Path, *, level: float = 0.8) -> Path:
    """Draw the looks so far and the rest with its interval; the look that raised the alarm stands out.

    Raises ForetellError when the file cannot be written.
    """
    figure = blank_figure(7.5, 4.2)
    panel = figure.subplots()
    scale = float(made.step[-1]) / watched.length  # looks of a run without steps are in shares of it
    looks = watched.looks
    panel.plot(
        [scale * look.at for look in looks], [look.measured for look in looks], "o", color=GREY, ms=5, label="measured"
    )
    for first, colour, said in ((False, BLUE, "forecast earlier"), (True, GREY, "forecast at the first look")):
        of = [look for look in looks if (look.frozen == looks[0].frozen) == first]
        panel.plot(
            [scale * look.at for look in of],
            [look.forecast for look in of],
            "_",
            color=colour,
            ms=10,
            mew=2,
            label=said,
        )
    bounds = [made.interval(level, i) for i in range(len(made.step))]
    panel.fill_between(
        made.step, [low for low, _ in bounds], [high for _, high in bounds], color=BLUE, alpha=0.25, lw=0
    )
    panel.plot(made.step, made.value, color=BLUE, lw=1.6, label=f"the rest, {level:.0%}")
    if watched.alarm is not None:
        panel.plot(
            scale * watched.alarm.at, watched.alarm.measured, "X", color=ORANGE, ms=11, label="left its forecast"
        )
    panel.set_xlabel("tokens" if made.axis == "D" else "step")
    panel.set_ylabel("loss")
    panel.set_title(made.name, fontsize=10)
    panel.grid(color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    return write_figure(figure, path, dpi=150)
