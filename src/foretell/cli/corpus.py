"""`foretell corpus`: turn texts into token shards that a ladder trains on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.cli.options import AsJson, Seed

if TYPE_CHECKING:
    from foretell.corpus import Corpus

app = typer.Typer(help="Build the corpus that a ladder trains on, or look at one.", no_args_is_help=True)


@app.command()
def build(
    sources: Annotated[
        list[str], typer.Argument(help="NAME=PATH: a file, a folder or a quoted pattern of text, jsonl or Parquet.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The corpus folder to make.")],
    tokenizer: Annotated[str, typer.Option(help="bytes, or a tokenizer.json of the tokenizers library.")] = "bytes",
    column: Annotated[str, typer.Option(help="The field of jsonl or Parquet rows that holds the text.")] = "text",
    longest: Annotated[int | None, typer.Option(help="Cut documents of more bytes between paragraphs. [never]")] = None,
    held_out: Annotated[float, typer.Option(help="Share of documents to evaluate on, by their hash.")] = 0.01,
    seed: Seed = 0,
) -> None:
    """Tokenize texts, shuffle their documents, and hold a part out to evaluate on.

    For example: foretell corpus build code=/usr/lib/python3.11 books='texts/**/*.txt' -o corpus
    """
    from foretell.cli.show import console, working
    from foretell.corpus import Texts, build_corpus
    from foretell.errors import CorpusError

    texts: dict[str, Texts] = {}
    for pair in sources:
        name, equals, place = pair.partition("=")
        if not (equals and name and place):
            raise CorpusError(f"{pair!r} is not NAME=PATH, such as code=/usr/lib/python3.11")
        if name in texts:
            raise CorpusError(f"the source {name} is named twice; give a pattern that covers both")
        texts[name] = Texts(place, column, longest)
    with working("reading texts", quiet=False):
        made = build_corpus(texts, out, tokenizer=tokenizer, held_out=held_out, seed=seed)
    show(made)
    console().print(
        f"\nNext: name it in a ladder's file as corpus = {str(out)!r}, then `foretell train`.", markup=False
    )


@app.command()
def info(
    corpus: Annotated[Path, typer.Argument(help="The corpus folder.")],
    json: AsJson = False,
) -> None:
    """Say what a corpus holds: documents, tokens and bytes of each source, and what was left out."""
    from foretell.cli.show import print_json
    from foretell.corpus import open_corpus

    opened = open_corpus(corpus)
    if json:
        print_json(opened.title.model_dump())
        return
    show(opened)


def show(corpus: Corpus) -> None:
    """Print a table of the sources, and what was left out."""
    from rich.table import Table

    from foretell.cli.show import console
    from foretell.units import format_count

    out = console()
    table = Table("source", "documents", "tokens", "held out", "bytes/token", title=f"{corpus.folder}")
    for name, title in sorted(corpus.title.sources.items()):
        train, held = title.train, title.held_out
        table.add_row(
            name,
            f"{train.documents:,}",
            format_count(train.tokens),
            f"{held.documents:,} documents, {format_count(held.tokens)} tokens",
            f"{train.bytes / train.tokens:.2f}",
        )
    out.print(table)
    for name, title in sorted(corpus.title.sources.items()):
        for note in title.notes:
            out.print(f"{name}: {note}", markup=False)
