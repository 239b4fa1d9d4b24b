"""A ladder as a `ladder.toml`, with the source of each constant beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.rung import Ladder, Rung, write_ladder_text
from foretell.units import format_count

SHAPE_SHARED = ("vocabulary", "sequence", "tied")
SHARED = (
    "schedule", "cooldown", "precision", "weight_decay", "beta1", "beta2", "clip", "init_std", "family", "weights",
)  # fmt: skip
OLMO = "OLMo ladder (allenai/OLMo-ladder ladder.py)"
SHARED_SOURCE = {
    "schedule": "one trunk for all horizons, a cool-down branch at each: arXiv 2405.18392",
    "cooldown": "share of a run that cools down, 1 - sqrt: arXiv 2405.18392, section 4",
    "weight_decay": OLMO,
    "beta1": OLMO,
    "beta2": OLMO,
    "clip": f"gradient norm: {OLMO}",
    "init_std": OLMO,
    "weights": "the mixture: shares of the corpus's sources",
}


def write_ladder(
    ladder: Ladder,
    path: str | Path,
    *,
    notes: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Write a ladder as TOML, `notes` as comments on top, `sources` beside the first rung's fields.

    What all rungs share goes into `[defaults]`. Raises LadderError when the file exists (unless `force`), or cannot be
    written; a file is written whole or not at all.
    """
    write_ladder_text(ladder_text(ladder, notes=notes, sources=sources or {}), path, force=force)


def ladder_text(ladder: Ladder, *, notes: Sequence[str] = (), sources: Mapping[str, str]) -> str:
    """Write a ladder as TOML text."""
    first = ladder.rungs[0]
    fields = [name for name in SHARED if all(getattr(rung, name) == getattr(first, name) for rung in ladder.rungs)]
    forms = [rung.shape for rung in ladder.rungs]
    shapes = [name for name in SHAPE_SHARED if all(getattr(s, name) == getattr(forms[0], name) for s in forms)]
    lines = [f"# {note}".rstrip() for note in notes]
    lines += ["", f"format = {ladder.format}"]
    lines += [f"corpus = {_value(ladder.corpus)}  # folder of token shards, relative to this file"]
    lines += [f"study = {_value(ladder.study)}  # folder that the observations go to", "", "[defaults]"]
    for name in fields:
        value = getattr(first, name)
        if name == "weights" and not value:
            lines += ["# weights = { web = 0.7, code = 0.3 }  # the mixture: shares of the corpus's sources"]
        elif value != "":
            lines += [_line(name, value, SHARED_SOURCE.get(name, ""))]
    lines += [_line("shape", {name: getattr(first.shape, name) for name in shapes}, "")] if shapes else []
    for place, rung in enumerate(ladder.rungs):
        lines += ["", *_rung_lines(rung, fields, shapes, sources if place == 0 else {})]
    return "\n".join(lines).lstrip("\n") + "\n"


def _rung_lines(rung: Rung, shared: list[str], shapes: list[str], sources: Mapping[str, str]) -> list[str]:
    own = {name: value for name, value in rung.shape.model_dump().items() if name not in shapes}
    counts = f"N = {rung.shape.N:,}, N_total = {rung.shape.N_total:,}"
    lines = ["[[rung]]", _line("name", rung.name, f"{counts}; {rung.training_flop:.3g} FLOP")]
    lines += [_line("shape", own, sources.get("shape", ""))]
    horizons = ", ".join(format_count(D / rung.shape.N) for D in rung.D)
    source = f"; {sources['D']}" if "D" in sources else ""
    lines += [_line("D", list(rung.D), f"{horizons} tokens a parameter{source}")]
    kept = set(type(rung).model_fields) - {"name", "shape", "D", *shared}
    for name, field in type(rung).model_fields.items():
        value = getattr(rung, name)
        if name in kept and (field.is_required() or value != field.default or name == "seed"):
            lines += [_line(name, value, sources.get(name, ""))]
    return lines


def _line(name: str, value: Any, source: str) -> str:
    return f"{name} = {_value(value)}" + (f"  # {source}" if source else "")


def _value(value: Any) -> str:
    if isinstance(value, bool | str | int | float):
        return json.dumps(value, ensure_ascii=False)  # TOML writes these as JSON does
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items())
        return f"{{ {inner} }}"
    return f"[{', '.join(_value(inner) for inner in value)}]"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)
