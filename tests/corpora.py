"""Small corpora and rungs for tests of training."""

import numpy as np

from foretell.corpus import Texts, build_corpus
from foretell.rung import Rung, Shape

TINY = Shape(layers=1, width=16, heads=1, kv_heads=1, mlp_width=32, vocabulary=264, sequence=32)


# what a tiny ladder file measures, as train_one.EVALUATION does
EVALUATED = """
[evaluation]
tokens = 2000
cloze = ["prose"]
items = 20
prompt = 16
option = 8
probe = 512
checkpoints = 3
"""


def write_texts(folder, source, documents=60, words=80, seed=0):
    """Write documents of random words, each a file of its own."""
    rng = np.random.default_rng([seed, *source.encode()])
    lexicon = ["".join(rng.choice(list("abcdefghij"), size=4)) for _ in range(50)]
    place = folder / source
    place.mkdir(parents=True)
    for i in range(documents):
        (place / f"{i:04d}.txt").write_text(" ".join(rng.choice(lexicon, size=words)) + "\n", encoding="utf-8")
    return place


def make_corpus(folder, sources=("code", "prose"), held_out=0.2, **options):
    """Build a corpus of random words from named sources."""
    texts = {name: Texts(str(write_texts(folder / "texts", name))) for name in sources}
    return build_corpus(texts, folder / "corpus", held_out=held_out, **options)


def tiny_rung(**changes):
    """Make a rung that trains in seconds."""
    fields = {
        "name": "tiny", "shape": TINY, "D": (1280, 2560), "batch": 4, "learning_rate": 0.01, "warmup": 2,
        "weights": {"code": 0.25, "prose": 0.75},
    }  # fmt: skip
    return Rung(**{**fields, **changes})
