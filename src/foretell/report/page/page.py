"""One self-contained page: everything it shows is inside it, and nothing it shows can run."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from foretell.report.page.contents import Contents
from foretell.report.page.html import Html, joined, tag
from foretell.report.page.section import Section, SectionMaker
from foretell.report.page.sections import SECTIONS
from foretell.report.page.words import task_words

SCRIPTS = ("format.js", "chart.js", "whatif.js", "page.js")  # in this order
STYLE = "page.css"


def render_page(contents: Contents, sections: Sequence[SectionMaker] = SECTIONS, *, live: str = "") -> str:
    """Write a report as one HTML page; a `live` page asks its server whether that version is still the newest.

    The page's policy allows its own script and style, by their digests, and no request to anywhere else.
    """
    made = [section for maker in sections if (section := maker(contents)) is not None]
    script, style = _script(), _asset(STYLE)
    reached = "'self'" if live else "'none'"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        f"connect-src {reached}; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"foretell {contents.version}"),
        tag("title", f"{contents.title} – forecast"),
        tag("link", rel="icon", href="data:,"),
        Html(f"<style>{style}</style>"),
    )
    body = tag(
        "body",
        tag("a", "Skip to the answer", href="#answer", class_="skip"),
        tag(
            "header",
            tag("p", "foretell", class_="brand"),
            tag("h1", made[0].heading if made else contents.title),
            tag("p", f"{contents.title} · {contents.made}", class_="dim"),
        ),
        _menu(made),
        tag("main", _picker(contents), *(_section(section, first=i == 0) for i, section in enumerate(made))),
        tag(
            "footer",
            tag("p", f"Made by foretell {contents.version}. This page is one file; it opens without a network."),
        ),
        tag("div", id="tip", role="status", aria_live="polite", hidden=True),
        Html(f"<script>{script}</script>"),
        data_live=live or None,
    )
    return f'<!doctype html>\n<html lang="en">{joined(head, body)}</html>\n'


def _menu(made: Sequence[Section]) -> Html:
    links = [tag("li", tag("a", section.menu, href=f"#{section.anchor}")) for section in made]
    return tag("nav", tag("ul", *links), aria_label="Sections")


def _picker(contents: Contents) -> Html:
    """Let a reader pick the metrics that cards, charts and tables show."""
    metrics = contents.metrics
    if len(metrics) < 2:
        return Html("")
    buttons = [
        tag("button", task_words(metric), type="button", aria_pressed="true", data_pick=metric.name)
        for metric in metrics
    ]
    every = tag("button", "all", type="button", id="pick-all", class_="all")
    return tag("div", tag("span", "Tasks"), every, *buttons, class_="picker", role="group", aria_label="Tasks shown")


def _section(section: Section, *, first: bool) -> Html:
    heading = "" if first else tag("h2", section.heading, id=f"{section.anchor}-heading")
    label = {"aria_label": "Answer"} if first else {"aria_labelledby": f"{section.anchor}-heading"}
    return tag("section", heading, section.body, id=section.anchor, **label)


@cache
def _asset(name: str) -> str:
    return files("foretell.report.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();\n"


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
