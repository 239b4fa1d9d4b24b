"""The folder of a rung: where its checkpoints, measurements and curves lie in a study."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.corpus import Corpus
from foretell.errors import LadderError
from foretell.rung import Rung
from foretell.wholefile import whole_file

FOLDER = "rungs"
PROGRESS = "progress"


@dataclass(frozen=True)
class RungFolder:
    """Name the places of a rung in a study."""

    study: Path
    rung: str

    @property
    def root(self) -> Path:
        """Give the rung's own folder."""
        return self.study / FOLDER / self.rung

    @property
    def checkpoints(self) -> Path:
        """Give where training resumes from."""
        return self.root / "checkpoints"

    @property
    def curves(self) -> Path:
        """Give where loss and learning rate of every step are kept."""
        return self.root / "curves"

    @property
    def measurements(self) -> Path:
        """Give where every checkpoint's measurements are kept."""
        return self.root / "measured"

    @property
    def progress(self) -> Path:
        """Give the file that says how far the rung is."""
        return self.study / PROGRESS / f"{self.rung}.json"

    def final(self, run: str) -> Path:
        """Give where the finished model of a run lies, as `transformers` loads it."""
        return self.root / "models" / run

    def measured(self, run: str, step: int) -> Path:
        """Give the file of a checkpoint's measurements."""
        return self.measurements / f"{run}@{step:09d}.json"

    def claim(self, rung: Rung, corpus: Corpus) -> None:
        """Write down what is trained here, or check that it is still the same.

        Raises LadderError when the rung, or the tokens that it trains on, have changed since training began.
        """
        sources = {name: corpus.digest[name] for name in sorted(rung.weights)}
        told = {"rung": rung.model_dump(mode="json"), "sources": sources, "tokenizer": corpus.title.tokenizer}
        path = self.root / "rung.json"
        if not path.is_file():
            write_json(path, told)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        begun = Rung.model_validate(before["rung"])
        if begun.digest() != rung.digest():
            changed = [
                f"{name} was {getattr(begun, name)!r}, is {getattr(rung, name)!r}"
                for name in Rung.model_fields
                if getattr(begun, name) != getattr(rung, name)
            ]
            raise LadderError(
                f"rung {rung.name} was edited after its training began ({'; '.join(changed)}); "
                f"put it back, give the rung another name, or remove {self.root} to train it anew"
            )
        if before["sources"] != sources or before["tokenizer"] != told["tokenizer"]:
            raise LadderError(
                f"the corpus changed after the training of rung {rung.name} began; put the old one back, "
                f"or remove {self.root} to train it anew"
            )
        if before != told:  # a field that changes no weight
            write_json(path, told)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
