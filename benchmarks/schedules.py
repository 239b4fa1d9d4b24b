"""One trunk with cool-downs against a cosine run a horizon: FLOP saved and loss lost, with seeds.

    python benchmarks/schedules.py [CORPUS] [seeds]

Without a corpus, the standard library's own text. Four doubling horizons of a 27K model.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from foretell.corpus import open_corpus
from foretell.ladder.live import make_live_ladder
from foretell.lm.train import train_rung
from foretell.rung import Evaluation, Rung, Shape, read_ladder
from foretell.units import format_count

SHAPE = Shape(layers=2, width=32, heads=1, kv_heads=1, mlp_width=96, vocabulary=264, sequence=128)
D = (250_000, 500_000, 1_000_000, 2_000_000)
FIELDS = {"shape": SHAPE, "D": D, "batch": 16, "learning_rate": 1.86e-2, "warmup": 20}


def losses(corpus, study, name, seed, weights, **changes):
    """Train one rung; give the mean loss over sources at each horizon, and the tokens trained."""
    import json

    rung = Rung(name=name, seed=seed, weights=weights, **{**FIELDS, **changes})
    evaluation = Evaluation(tokens=200_000, probe=0, checkpoints=0)
    train_rung(rung, corpus, study, evaluation=evaluation)
    made = []
    for horizon in rung.D:
        path = next((study / "rungs" / name / "measured").glob(f"{rung.run_name(horizon)}@*.json"))
        rows = json.loads(path.read_text())["rows"]
        made.append(np.mean([r["value"] for r in rows if r["metric"]["name"].endswith("/loss")]))
    return np.array(made), rung.trained_tokens


def main():
    torch.set_num_threads(1)
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with TemporaryDirectory() as folder:
        place = Path(folder)
        if len(sys.argv) > 1:
            corpus = open_corpus(sys.argv[1])
        else:
            live = make_live_ladder(place / "live")
            corpus = open_corpus(live.file.parent / read_ladder(live.file).corpus)
        weights = {name: 1 / len(corpus.sources) for name in corpus.sources}
        kinds = {
            "cosine, a run each": {"schedule": "cosine"},
            "trunk, 20 % cool-downs": {"schedule": "wsd", "cooldown": 0.2},
            "trunk, 10 % cool-downs": {"schedule": "wsd", "cooldown": 0.1},
        }
        found, tokens = {}, {}
        for i, (kind, changes) in enumerate(kinds.items()):
            each = [losses(corpus, place / "study", f"r{i}s{s}", s, weights, **changes) for s in range(seeds)]
            found[kind], tokens[kind] = np.array([loss for loss, _ in each]), each[0][1]
        base = "cosine, a run each"
        print(f"{'schedule':26} {'tokens':>8} {'saved':>6}  " + "  ".join(f"{format_count(d):>15}" for d in D))
        for kind, table in found.items():
            saved = 1 - tokens[kind] / tokens[base]
            cells = []
            for k in range(len(D)):
                if kind == base:
                    cells.append(f"{table[:, k].mean():8.3f} ± {table[:, k].std(ddof=1):.3f} ")
                else:
                    away = table[:, k] - found[base][:, k]
                    cells.append(f"{away.mean():+8.3f} ± {away.std(ddof=1) / seeds**0.5:.3f} ")
            print(f"{kind:26} {format_count(tokens[kind]):>8} {saved:6.0%}  " + "  ".join(cells))
        print(f"first row: loss in nats/token, mean and spread of {seeds} seeds; others: difference and its error")


if __name__ == "__main__":
    main()
