"""The report as one page that opens offline."""

from foretell.report.page.chain import Chain, chains_of
from foretell.report.page.contents import Contents
from foretell.report.page.page import render_page
from foretell.report.page.section import Section, SectionMaker
from foretell.report.page.sections import SECTIONS

__all__ = ["SECTIONS", "Chain", "Contents", "Section", "SectionMaker", "chains_of", "render_page"]
