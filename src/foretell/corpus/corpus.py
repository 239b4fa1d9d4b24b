"""A corpus: sources of text as token shards, each with a held-out part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.corpus.documents import Documents, read_documents
from foretell.corpus.tokenizer import Tokenizer, read_tokenizer
from foretell.errors import CorpusError, UnknownName

FORMAT = 1
TITLE = "corpus.json"


class Part(BaseModel):
    """Count the documents, tokens and bytes of one part of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int
    tokens: int
    bytes: int


class SourceTitle(BaseModel):
    """Describe one source: its parts, and a digest of its training tokens in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Part
    held_out: Part
    digest: str
    notes: tuple[str, ...] = ()


class CorpusTitle(BaseModel):
    """Describe a corpus in `corpus.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    tokenizer: str
    vocabulary: int
    dtype: str
    seed: int
    held_out: float
    sources: dict[str, SourceTitle]


@dataclass(frozen=True)
class Corpus:
    """Hold an opened corpus; tokens stay on disk until they are read."""

    folder: Path
    title: CorpusTitle

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Give the tokenizer that made the shards; raises CorpusError when the file beside them is another."""
        tokenizer = read_tokenizer(self.folder)
        if tokenizer.digest != self.title.tokenizer:
            raise CorpusError(
                f"the tokenizer in {self.folder} (digest {tokenizer.digest[:12]}) did not make these shards "
                f"(digest {self.title.tokenizer[:12]}); put the right one back, or build the corpus again"
            )
        return tokenizer

    @property
    def sources(self) -> list[str]:
        """Name the sources."""
        return sorted(self.title.sources)

    @property
    def digest(self) -> dict[str, str]:
        """Give a digest of each source's training tokens."""
        return {name: title.digest for name, title in self.title.sources.items()}

    def train(self, source: str) -> Documents:
        """Give the documents to train on; raises UnknownName."""
        return self._documents(source, "train")

    def held_out(self, source: str) -> Documents:
        """Give the documents to evaluate on; raises UnknownName."""
        return self._documents(source, "held_out")

    def _documents(self, source: str, part: str) -> Documents:
        if source not in self.title.sources:
            raise UnknownName("source of the corpus", source, self.sources)
        counts: Part = getattr(self.title.sources[source], part)
        return read_documents(self.folder / source, part, self.title.dtype, counts.tokens)


def open_corpus(path: str | Path) -> Corpus:
    """Open a corpus folder; raises CorpusError when it is absent, half-written or of a later format."""
    folder = Path(path)
    if not (folder / TITLE).is_file():
        raise CorpusError(
            f"there is no corpus at {folder}; make one with `foretell corpus build NAME=PATH -o {folder}`"
        )
    try:
        written = json.loads((folder / TITLE).read_text(encoding="utf-8"))
        if isinstance(written, dict) and isinstance(written.get("format"), int) and written["format"] > FORMAT:
            raise CorpusError(f"the corpus {folder} has format {written['format']}, this version reads {FORMAT}")
        return Corpus(folder, CorpusTitle.model_validate(written))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        raise CorpusError(f"the corpus {folder} cannot be read: {str(error).splitlines()[0]}; build it again") from None
