"""A section of a report: a heading, and what stands under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foretell.report.page.contents import Contents
from foretell.report.page.html import Html


@dataclass(frozen=True)
class Section:
    """Hold a section's anchor, heading and body; `menu` is its short name in the page's menu."""

    anchor: str
    heading: str
    body: Html
    menu: str


SectionMaker = Callable[[Contents], Section | None]  # None where a study has nothing for it
