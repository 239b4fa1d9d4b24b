"""How a report came about, so that it can be made again."""

from __future__ import annotations

from foretell.report.page.contents import Contents
from foretell.report.page.html import tag
from foretell.report.page.section import Section
from foretell.report.page.words import level_words


def made(contents: Contents) -> Section | None:
    """List version, time, method, settings and the digest of the data."""
    settings = contents.settings
    facts = {
        "study": contents.title,
        "method": f"{contents.forecasts[0].method} ({contents.source})",
        "interval": f"{level_words(contents.level)} of {settings.draws} draws: {', '.join(sorted(settings.parts))}",
        "starts, seed": f"{settings.starts}, {settings.seed}",
        "N counts": "parameters without embeddings" if contents.observations.law_N == "N" else "all parameters",
        "steps": "; ".join(contents.observations.steps),
        "data, SHA-256": contents.digest,
        "foretell": contents.version,
        "time, UTC": contents.made,
        "command": contents.command,
    }
    pairs = [part for name, said in facts.items() if said for part in (tag("dt", name), tag("dd", said))]
    return Section("made", "How this was made", tag("dl", *pairs), "Made")
