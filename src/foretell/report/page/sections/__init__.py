"""The sections of a report, in the order in which they are read; another is added by adding its maker to the list."""

from foretell.report.page.section import SectionMaker
from foretell.report.page.sections.answer import answer
from foretell.report.page.sections.backtests import backtests
from foretell.report.page.sections.beside import beside
from foretell.report.page.sections.doubts import doubts
from foretell.report.page.sections.fits import fits
from foretell.report.page.sections.made import made
from foretell.report.page.sections.mixtures import mixtures
from foretell.report.page.sections.runs import runs
from foretell.report.page.sections.trajectories import trajectories
from foretell.report.page.sections.whatif import whatif

SECTIONS: tuple[SectionMaker, ...] = (
    answer, whatif, beside, doubts, runs, fits, backtests, mixtures, trajectories, made,
)  # fmt: skip

__all__ = ["SECTIONS"]
