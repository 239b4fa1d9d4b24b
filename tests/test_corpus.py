"""What a corpus keeps, holds out and gives to a run."""

import gzip
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora import make_corpus, write_texts
from foretell.corpus import ByteTokenizer, Stream, Texts, build_corpus, open_corpus, pool_of, read_tokenizer
from foretell.corpus.texts import cut
from foretell.errors import CorpusError, UnknownName


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def test_every_text_is_kept_once_and_reads_back(corpus, tmp_path):
    written = sorted(p.read_text() for p in write_texts(tmp_path, "code").iterdir())
    tokenizer = corpus.tokenizer
    kept = [tokenizer.decode(d) for part in (corpus.train("code"), corpus.held_out("code")) for d in part]
    assert sorted(kept) == written
    assert all(d[-1] == tokenizer.eos for d in corpus.train("code"))


def test_counts_in_the_title_are_those_on_disk(corpus):
    for name, title in corpus.title.sources.items():
        for part, documents in (("train", corpus.train(name)), ("held_out", corpus.held_out(name))):
            counts = getattr(title, part)
            assert (counts.documents, counts.tokens) == (len(documents), len(documents.tokens))
            assert counts.bytes == documents.bytes.sum() == counts.tokens - counts.documents


def test_the_same_text_falls_on_the_same_side_whatever_else_there_is(corpus, tmp_path):
    other = build_corpus(
        {"more": Texts(str(write_texts(tmp_path, "code"))), "new": Texts(str(write_texts(tmp_path, "new")))},
        tmp_path / "corpus",
        held_out=0.2,
        seed=9,
    )
    assert set(other.held_out("more").digests) == set(corpus.held_out("code").digests)
    assert list(other.train("more").digests) != list(corpus.train("code").digests)


def test_a_text_met_twice_is_taken_once_and_said(tmp_path):
    write_texts(tmp_path, "code")
    (tmp_path / "code" / "again.txt").write_text((tmp_path / "code" / "0000.txt").read_text())
    (tmp_path / "code" / "empty.txt").write_text(" \n")
    (tmp_path / "code" / "picture.png").write_bytes(b"\x89PNG\x00\xff")
    made = build_corpus({"code": Texts(str(tmp_path / "code"))}, tmp_path / "corpus", held_out=0.2)
    title = made.title.sources["code"]
    assert title.train.documents + title.held_out.documents == 60
    notes = " ".join(title.notes)
    for word in ("1 empty", "1 binary", "1 repeated", "picture.png"):
        assert word in notes


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_rows_of_every_format_are_documents(tmp_path, kind):
    texts = [f"document {i} " + "word " * i for i in range(40)]
    path = tmp_path / f"rows.{kind}"
    lines = "".join(json.dumps({"text": t, "id": i}) + "\n" for i, t in enumerate(texts)).encode()
    if kind == "parquet":
        pl.DataFrame({"text": texts}).write_parquet(path)
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines))
    elif kind == "jsonl.zst":
        import zstandard

        path.write_bytes(zstandard.compress(lines))
    else:
        path.write_bytes(lines)
    made = build_corpus({"rows": Texts(str(path))}, tmp_path / "corpus", held_out=0.3)
    parts = (made.train("rows"), made.held_out("rows"))
    assert sorted(made.tokenizer.decode(d) for part in parts for d in part) == sorted(texts)


@given(st.text(alphabet="ab\n ä", max_size=300), st.integers(8, 60))
def test_cutting_keeps_every_byte_and_no_piece_is_too_long(text, longest):
    pieces = list(cut(text, longest))
    joined = "".join(pieces)
    assert joined == text or not text[len(joined) :].strip()
    assert all(len(piece.encode()) <= longest for piece in pieces)


def test_a_tokenizers_file_is_kept_beside_its_shards(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    made.decoder = decoders.ByteLevel()
    texts = write_texts(tmp_path, "code")
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    made.train([str(p) for p in texts.iterdir()], trainer)
    made.save(str(tmp_path / "tokenizer.json"))
    corpus = build_corpus(
        {"code": Texts(str(texts))}, tmp_path / "corpus", tokenizer=tmp_path / "tokenizer.json", held_out=0.2
    )
    document = corpus.train("code")[0]
    assert corpus.tokenizer.bytes_of(document) == corpus.train("code").bytes[0]
    assert len(document) < corpus.train("code").bytes[0]
    (tmp_path / "corpus" / "tokenizer.json").write_text(
        (tmp_path / "tokenizer.json").read_text().replace('"version"', '"version" ')
    )
    with pytest.raises(CorpusError, match="did not make these shards"):
        _ = open_corpus(tmp_path / "corpus").tokenizer


# -- what a run is given -----------------------------------------------------------------------------------------


def test_a_batch_is_fixed_by_seed_and_step_alone(corpus):
    weights = {"code": 0.3, "prose": 0.7}
    forward, jumping = (Stream(corpus, weights, {}, batch=5, sequence=16, seed=3) for _ in range(2))
    inorder = [forward.batch_at(step) for step in range(40)]
    for step in (17, 3, 39, 0):
        assert np.array_equal(jumping.batch_at(step), inorder[step])
    assert not np.array_equal(Stream(corpus, weights, {}, 5, 16, seed=4).batch_at(0), inorder[0])


def test_the_order_of_the_mixture_does_not_matter(corpus):
    one = Stream(corpus, {"code": 0.3, "prose": 0.7}, {}, 4, 16, seed=0)
    two = Stream(corpus, {"prose": 0.7, "code": 0.3}, {}, 4, 16, seed=0)
    assert np.array_equal(one.batch_at(7), two.batch_at(7))


@given(st.floats(0.01, 0.99), st.integers(1, 9), st.integers(0, 50), st.integers(1, 400))
def test_shares_of_a_mixture_are_exact_to_one_window_a_step(corpus, weight, batch, seed, steps):
    stream = Stream(corpus, {"code": weight, "prose": 1 - weight}, {}, batch, 16, seed)
    windows = stream.windows(steps)
    assert windows.sum() == batch * steps
    each = np.diff([stream.windows(n)[0] for n in range(min(steps, 30) + 1)])
    assert ((each == np.floor(weight * batch)) | (each == np.ceil(weight * batch))).all()
    assert abs(windows[0] - weight * batch * steps) <= 4  # multiples of the golden ratio stay this even


def test_shares_are_exact_on_average_over_seeds(corpus):
    drawn = [Stream(corpus, {"code": 0.17, "prose": 0.83}, {}, 3, 16, seed).windows(1)[0] for seed in range(2000)]
    assert abs(np.mean(drawn) - 0.51) < 4 * np.sqrt(0.51 * 0.49 / 2000)


def test_each_epoch_reads_every_token_of_a_pool_once_in_a_new_order(corpus):
    stream = Stream(corpus, {"code": 1.0}, {"code": 1000}, batch=1, sequence=1, seed=0)
    (pool,) = stream.pools
    seen = np.array([stream.batch_at(step)[0, 0] for step in range(2 * pool.tokens)])
    first, second = seen[: pool.tokens], seen[pool.tokens :]
    whole = np.bincount(pool.documents.tokens[: pool.tokens], minlength=257)
    assert np.array_equal(np.bincount(first, minlength=257), whole)
    assert np.array_equal(np.bincount(second, minlength=257), whole)
    assert not np.array_equal(first, second)


def test_windows_follow_each_other_without_gap_or_overlap(corpus):
    stream = Stream(corpus, {"code": 1.0}, {}, batch=2, sequence=7, seed=0)
    rows = np.concatenate([stream.batch_at(step) for step in range(20)])
    assert np.array_equal(rows[:-1, -1], rows[1:, 0])  # the last target is the next window's first input


def test_smaller_pools_are_parts_of_larger_ones(corpus):
    small, large = (pool_of(corpus, "code", asked) for asked in (2000, 9000))
    assert 2000 <= small.tokens < 2000 + small.documents.lengths.max()
    assert small.count < large.count
    assert list(large.documents.digests[: small.count]) == list(small.documents.digests[: small.count])


def test_usage_counts_tokens_unique_tokens_and_epochs(corpus):
    stream = Stream(corpus, {"code": 0.5, "prose": 0.5}, {"code": 1000}, batch=4, sequence=10, seed=0)
    code, prose = stream.usage(200)
    pool = stream.pools[0].tokens
    assert code.tokens + prose.tokens == 200 * 4 * 10
    assert (code.unique, code.epochs) == (pool, code.tokens / pool)
    assert prose.unique == prose.tokens


# -- what cannot be used -----------------------------------------------------------------------------------------


def test_a_mixture_that_does_not_sum_to_one_is_refused(corpus):
    with pytest.raises(CorpusError, match=r"sum to 0\.9"):
        Stream(corpus, {"code": 0.4, "prose": 0.5}, {}, 4, 16, 0)
    with pytest.raises(UnknownName, match="did you mean prose"):
        Stream(corpus, {"proze": 1.0}, {}, 4, 16, 0)


def test_a_pool_larger_than_its_source_is_refused(corpus):
    with pytest.raises(CorpusError, match="which has"):
        pool_of(corpus, "code", 1e9)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ({}, {}, "no source"),
        ({"a/b": "x"}, {}, "names a folder"),
        ({"a": "absent/*.txt"}, {}, "no text at"),
        ({"a": "texts"}, {"held_out": 1.5}, "between 0 and 1"),
        ({"a": "texts"}, {"tokenizer": "absent.json"}, "no tokenizer"),
        ({"a": "texts"}, {"seed": -5}, "the seed is -5"),
        ({"a": "texts"}, {"held_out": 1e-12}, "raise --held-out"),
    ],
)
def test_a_corpus_that_cannot_be_built_says_why_and_leaves_nothing(tmp_path, monkeypatch, sources, options, message):
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path, "texts", documents=5)
    with pytest.raises(CorpusError, match=message):
        build_corpus({name: Texts(place) for name, place in sources.items()}, "corpus", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["texts"]


def test_rows_without_the_column_and_files_cut_short_name_their_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"body": "b"}\n')
    with pytest.raises(CorpusError, match=r"line 2 .* has no 'text'; it has body"):
        build_corpus({"rows": Texts(str(path))}, tmp_path / "corpus")
    path.write_text('{"text": "a"}\n{"text": "b')
    with pytest.raises(CorpusError, match="cut short"):
        build_corpus({"rows": Texts(str(path))}, tmp_path / "corpus")


def test_shards_that_were_cut_short_are_refused(tmp_path):
    made = make_corpus(tmp_path)
    path = made.folder / "code" / "train.tokens"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorpusError, match="cut short"):
        open_corpus(made.folder).train("code")


def test_an_older_corpus_is_not_written_over(tmp_path):
    make_corpus(tmp_path)
    with pytest.raises(CorpusError, match="exists already"):
        build_corpus({"code": Texts(str(tmp_path / "texts" / "code"))}, tmp_path / "corpus")


def test_a_tokenizer_is_found_by_word_file_or_folder(tmp_path):
    ByteTokenizer().save(tmp_path)
    assert read_tokenizer("bytes").digest == read_tokenizer(tmp_path).digest
    assert ByteTokenizer().bytes_of(ByteTokenizer().encode("naïve")) == 6


def test_a_longest_document_of_nothing_is_refused(tmp_path):
    write_texts(tmp_path, "texts", documents=5)
    with pytest.raises(CorpusError, match="longest document of a is -5"):
        build_corpus({"a": Texts(str(tmp_path / "texts"), longest=-5)}, tmp_path / "corpus")
