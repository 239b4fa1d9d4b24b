"""Train the tiny rung in a process of its own, to be killed: python tests/train_one.py CORPUS STUDY."""

import sys

import torch

from corpora import tiny_rung
from foretell.corpus import open_corpus
from foretell.lm.train import train_rung
from foretell.rung import Evaluation

EVALUATION = Evaluation(tokens=2000, cloze=("prose",), items=20, prompt=16, option=8, probe=512, checkpoints=3)
LONG = {"D": (12_800, 25_600), "batch": 2}

if __name__ == "__main__":
    torch.set_num_threads(1)
    train_rung(tiny_rung(**LONG), open_corpus(sys.argv[1]), sys.argv[2], evaluation=EVALUATION, save_every=0.05)
