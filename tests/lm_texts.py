"""Texts, documents and request files, for tests."""

import gzip
import json

import numpy as np

from foretell.corpus import Documents, Texts, build_corpus


def documents(*texts):
    ids = [[*text.encode(), 256] for text in texts]
    return Documents(
        np.concatenate([np.array(one, np.uint16) for one in ids]),
        np.cumsum([0, *map(len, ids)]),
        np.array([len(one) - 1 for one in ids]),
        np.array([f"digest {i}" for i in range(len(ids))]),
    )


def texts(count=9, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcde fgh"), rng.integers(20, 120))) for _ in range(count)]


def built(folder):
    """Build a corpus of two sources, half of it held out."""
    for source, seed in (("prose", 0), ("notes", 1)):
        (folder / source).mkdir()
        for i, text in enumerate(texts(60, seed)):
            (folder / source / f"{i}.txt").write_text(text)
    sources = {name: Texts(str(folder / name)) for name in ("prose", "notes")}
    return build_corpus(sources, folder / "built", held_out=0.5)


def request(document, option, of=3, *, label=1, context=None, native=None):
    return {
        "request_type": "loglikelihood",
        "doc": {},
        "request": {
            "context": context or f"Question {document}?\nAnswer:",
            "continuation": f" answer {option} " * (option + 1),
        },
        "idx": option,
        "label": label,
        "doc_id": document,
        "native_id": native or f"n{document}",
    }


def request_file(folder, name, requests):
    (folder / name).mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / name / "requests.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(one) + "\n" for one in requests)
    return folder


def asked(count=6):
    return [request(i, j) for i in range(count) for j in (2, 0, 1)]
