"""A cloze task asks what really comes next, and never lets a wrong option be right."""

import numpy as np
import pytest

from foretell.corpus import ByteTokenizer, Documents, Texts, build_corpus
from foretell.errors import CorpusError, UnknownName
from foretell.lm.cloze import make_cloze
from tiny_llama import tiny_llama


class Shelf:
    """A corpus in memory, its documents in any order."""

    def __init__(self, order=None, texts=None, **sources):
        self.tokenizer = ByteTokenizer()
        self.texts = {"prose": texts or prose()} | sources
        self.sources = sorted(self.texts)
        self.order = order

    def held_out(self, source):
        if source not in self.texts:
            raise UnknownName("source of the corpus", source, self.sources)
        texts = self.texts[source]
        at = range(len(texts)) if self.order is None else self.order
        ids = [[*texts[i].encode(), 256] for i in at]
        return Documents(
            tokens=np.concatenate([np.array(one, np.uint16) for one in ids]),
            offsets=np.cumsum([0, *map(len, ids)]),
            bytes=np.array([len(one) - 1 for one in ids]),
            digests=np.array([f"digest of {texts[i]}" for i in at]),
        )


def prose(count=12, length=700, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefgh "), length)) for _ in range(count)]


def cloze(shelf, **given):
    return make_cloze(shelf, "prose", **{"items": 30, "prompt_tokens": 40, "option_tokens": 20, **given})


def texts_of(item):
    return ByteTokenizer().decode(item.prompt), [ByteTokenizer().decode(option) for option in item.options]


def test_the_right_option_continues_the_prompt_and_the_others_come_from_other_documents():
    shelf = Shelf()
    for item in cloze(shelf).items:
        prompt, options = texts_of(item)
        (home,) = [text for text in shelf.texts["prose"] if prompt + options[item.gold] in text]
        for number, option in enumerate(options):
            assert len(option) == 20
            if number != item.gold:
                assert option not in home
                assert sum(option in text[40:] for text in shelf.texts["prose"]) == 1
        assert len(set(options)) == 4


def test_the_order_of_documents_does_not_matter():
    order = np.random.default_rng(3).permutation(12).tolist()
    assert cloze(Shelf()).items == cloze(Shelf(order)).items


def test_the_seed_decides():
    assert cloze(Shelf(), seed=1).items == cloze(Shelf(), seed=1).items
    assert cloze(Shelf(), seed=1).items != cloze(Shelf(), seed=2).items


def test_fewer_items_are_the_first_of_more():
    assert cloze(Shelf(), items=9).items == cloze(Shelf()).items[:9]


def test_each_document_is_asked_about_before_any_is_asked_about_twice():
    items = cloze(Shelf()).items
    assert len({item.group for item in items[:12]}) == 12
    assert len({item.id for item in items}) == 30


def test_the_place_of_the_right_option_tells_nothing():
    gold = [item.gold for item in cloze(Shelf(texts=prose(40, 1500)), items=400).items]
    assert np.bincount(gold, minlength=4).min() > 60  # 100 expected; 4.6 standard deviations


def test_several_sources_share_the_items_and_keep_their_own_distractors():
    shelf = Shelf(numbers=["".join(map(str, np.random.default_rng(i).integers(0, 9, 400))) for i in range(8)])
    task = make_cloze(shelf, ["prose", "numbers"], items=21, prompt_tokens=40, option_tokens=20)
    assert task.name == "cloze_numbers+prose"
    assert [item.id.split("/")[0] for item in task.items].count("numbers") == 11
    for item in task.items:
        digits = [option.isdigit() for option in texts_of(item)[1]]
        assert all(digits) == any(digits) == item.id.startswith("numbers")


def test_documents_of_one_text_never_face_each_other():
    texts = prose(4)
    with pytest.raises(CorpusError, match="3 different held-out documents"):
        cloze(Shelf(texts=[*texts[:3], texts[0], texts[0]]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"items": 10_000}, r"give 132 items of 60 tokens, not 10000"),
        ({"prompt_tokens": 690}, "0 different held-out documents"),
        ({"items": 0}, "at least 1 item"),
        ({"options": 1}, "2 options"),
        ({"options": 13}, "12 different held-out documents"),
    ],
)
def test_a_task_that_cannot_be_made_is_refused(given, words):
    with pytest.raises(CorpusError, match=words):
        cloze(Shelf(), **given)


def test_text_that_repeats_itself_gives_no_question():
    with pytest.raises(CorpusError, match="repeat one another"):
        cloze(Shelf(texts=["abcd " * (100 + i) for i in range(8)]), option_tokens=1, options=7)


def test_an_unknown_source_is_named():
    with pytest.raises(UnknownName, match="did you mean prose"):
        make_cloze(Shelf(), "pros")


def test_a_corpus_on_disk_gives_a_task_that_a_model_answers(tmp_path):
    (tmp_path / "texts").mkdir()
    for i, text in enumerate(prose(40)):
        (tmp_path / "texts" / f"{i}.txt").write_text(text)
    corpus = build_corpus({"prose": Texts(str(tmp_path / "texts"))}, tmp_path / "corpus", held_out=0.5)
    task = make_cloze(corpus, "prose", items=20, prompt_tokens=32, option_tokens=16)
    scores = task.score(tiny_llama())
    assert len(scores) == 20
    assert scores.chance == 0.25
    assert task.tokenizer == corpus.tokenizer.digest
    value, stderr = scores.mean(scores.outcomes())
    assert 0 <= value <= 1
    assert 0 < stderr < 0.3
