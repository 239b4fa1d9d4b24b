"""A ladder: the rungs to train, as a `ladder.toml` holds them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from foretell.encoding import not_utf8
from foretell.errors import LadderError, UnknownName
from foretell.rung.evaluation import Evaluation
from foretell.rung.rung import Rung
from foretell.wholefile import whole_file

FORMAT = 1


class Ladder(BaseModel):
    """Hold the rungs of a ladder, where its corpus lies and where its study goes.

    Paths are relative to the ladder's file. `[defaults]` of the file gives fields that rungs share, `[evaluation]` what
    is measured on all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    corpus: str = "corpus"
    study: str = "study"
    evaluation: Evaluation = Evaluation()
    rungs: tuple[Rung, ...]

    @model_validator(mode="after")
    def _rungs_fit_together(self) -> Ladder:
        if not self.rungs:
            raise ValueError("the ladder has no rung")
        names = [rung.name for rung in self.rungs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rungs are called {', '.join(twice)}")
        for rung in self.rungs:
            if unknown := set(rung.after) - set(names):
                raise ValueError(f"rung {rung.name} waits for {', '.join(sorted(unknown))}, which the ladder lacks")
        return self

    def rung_named(self, name: str) -> Rung:
        """Give the rung of that name; raises UnknownName."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise UnknownName("rung", name, [rung.name for rung in self.rungs])


def read_ladder(path: str | Path) -> Ladder:
    """Read a `ladder.toml`.

    Raises LadderError when it is absent, no TOML, of a later format, or a rung makes no sense; the message names the
    rung and the field.
    """
    file = Path(path)
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LadderError(f"there is no ladder at {file}; make one with `foretell plan -o {file}`") from None
    except UnicodeDecodeError as error:
        raise LadderError(not_utf8(error, str(file))) from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LadderError(f"the ladder {file} cannot be read: {error}") from None
    if isinstance(written.get("format"), int) and written["format"] > FORMAT:
        raise LadderError(f"the ladder {file} has format {written['format']}, this version reads {FORMAT}; upgrade")
    defaults = written.pop("defaults", {})
    rungs = written.pop("rung", [])
    if not isinstance(defaults, dict) or not isinstance(rungs, list) or not all(isinstance(r, dict) for r in rungs):
        raise LadderError(f"the ladder {file} needs a table [defaults] and tables [[rung]]")
    try:
        return Ladder.model_validate({**written, "rungs": [_joined(defaults, rung) for rung in rungs]})
    except ValidationError as error:
        raise LadderError(f"the ladder {file} makes no sense: {'; '.join(_words(error, rungs))}") from None


@contextmanager
def makes_sense(what: str) -> Iterator[None]:
    """Turn what a model of pydantic says of its fields into a LadderError that names them."""
    try:
        yield
    except ValidationError as error:
        raise LadderError(f"{what} makes no sense: {'; '.join(_words(error, []))}") from None


def write_ladder_text(text: str, path: str | Path, *, force: bool = False) -> None:
    """Write the text of a ladder file, whole or not at all.

    Raises LadderError when the file exists (unless `force`) or cannot be written.
    """
    file = Path(path)
    if file.exists() and not force:
        raise LadderError(f"{file} exists; choose another name (-o), or overwrite it with --force")
    try:
        with whole_file(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LadderError(f"{file} cannot be written: {error.strerror or error}; nothing was changed") from None


def _joined(defaults: dict[str, Any], rung: dict[str, Any]) -> dict[str, Any]:
    joined = {**defaults, **rung}
    if isinstance(defaults.get("shape"), dict) and isinstance(rung.get("shape"), dict):
        joined["shape"] = {**defaults["shape"], **rung["shape"]}
    return joined


def _words(error: ValidationError, rungs: list[dict[str, Any]]) -> list[str]:
    said = []
    for problem in error.errors()[:5]:
        place = list(problem["loc"])
        if len(place) > 1 and place[0] == "rungs" and isinstance(place[1], int):
            place = [f"rung {rungs[place[1]].get('name', place[1])}", *place[2:]]
        where = ", ".join(map(str, place))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(place[-1]), [*Rung.model_fields, *Ladder.model_fields], n=1)
            message = "no such field" + (f"; did you mean {near[0]}?" if near else "")
        said.append(f"{where}: {message}" if where else message)
    return said
