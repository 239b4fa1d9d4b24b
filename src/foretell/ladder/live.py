"""The live ladder: micro-rungs on the standard library's own text, a forecast, then the target that checks it."""

from __future__ import annotations

import ast
import json
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from foretell.corpus import Texts, build_corpus
from foretell.errors import TrainError
from foretell.ladder.training import Trained, train_ladder
from foretell.rung import Rung, read_ladder
from foretell.table import Observations

TARGET = "target"
LONGEST = 4000  # bytes of a document: the held-out part then has some hundred
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}


@dataclass(frozen=True)
class LiveLadder:
    """Hold a folder with corpus and ladder file, ready to train."""

    file: Path

    @property
    def target(self) -> Rung:
        """Give the rung that is forecast."""
        return read_ladder(self.file).rung_named(TARGET)

    def train_rungs(self) -> Observations:
        """Train all rungs but the target; raises TrainError when one fails."""
        names = [rung.name for rung in read_ladder(self.file).rungs if rung.name != TARGET]
        return _observed(train_ladder(self.file, rungs=names))

    def train_target(self) -> Observations:
        """Train the target as well; raises TrainError when it fails."""
        return _observed(train_ladder(self.file, rungs=[TARGET]))


def make_live_ladder(folder: Path, on_stage: Callable[[str], None] | None = None) -> LiveLadder:
    """Build the corpus from this interpreter's standard library, and write the ladder's file beside it.

    `code` is its modules without their docstrings, `docs` those docstrings, a document a module each. Raises
    CorpusError when the library's sources are not on this machine.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    folder.mkdir(parents=True, exist_ok=True)
    if on_stage:
        on_stage("reading the standard library")
    code, docs = folder / "code.jsonl", folder / "docs.jsonl"
    with code.open("w", encoding="utf-8") as code_file, docs.open("w", encoding="utf-8") as docs_file:
        for source, told in modules(root):
            code_file.write(json.dumps({"text": source}) + "\n")
            if told:
                docs_file.write(json.dumps({"text": told}) + "\n")
    texts = {"code": Texts(str(code), longest=LONGEST), "docs": Texts(str(docs), longest=LONGEST)}
    build_corpus(texts, folder / "corpus", held_out=0.06)
    file = folder / "ladder.toml"
    file.write_bytes((files("foretell.ladder") / "live.toml").read_bytes())
    return LiveLadder(file)


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Give each module below a folder as its code without docstrings, and its docstrings."""
    for path in sorted(root.rglob("*.py")):
        if LEFT_OUT & set(path.relative_to(root).parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue  # a template, or a test of bad syntax
        lines = text.splitlines(keepends=True)
        found = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
                said := ast.get_docstring(node)
            ):
                held = node.body[0]
                found.append(said)
                for i in range(held.lineno - 1, held.end_lineno or held.lineno):
                    lines[i] = ""
        yield "".join(lines), "\n\n".join(found)


def _observed(made: Trained) -> Observations:
    if made.failed or made.observations is None:
        said = "; ".join(f"{one.name}: {one.error}" for one in made.failed)
        raise TrainError(f"the live ladder could not be trained: {said or 'nothing was measured'}")
    return made.observations
