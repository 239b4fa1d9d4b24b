"""Put a trained ladder's measurements into the package: its table, its probe's token losses, what it said of texts.

    python examples/ladder/ship.py STUDY CORPUS [OUT]

Of the probe only the code (Python's standard library, PSF licence) and the factbook (public domain) are packed; of the
kernel's documents and the dictionary no text ships, and neither do weights.
"""

import shutil
import sys
from pathlib import Path

from foretell.corpus import open_corpus
from foretell.lm.checkpoint_folders import rung_checkpoints
from foretell.lm.cloze import make_cloze
from foretell.table import open_study
from foretell.trajectory.packed import pack_probe
from foretell.trajectory.probe import refuse_trained_on
from foretell.trajectory.shipped import PROBE, TEXTS, write_curves
from foretell.trajectory.texts import TextPlan, trace_texts
from foretell.trajectory.validation import with_validation_loss

SHIPPED = Path(__file__).resolve().parents[2] / "src" / "foretell" / "shipped" / "ladder"
FREE = ("code", "factbook")
ASKED = ("dictionary", "code")  # whose right and wrong continuations are read


def main() -> None:
    study, corpus = Path(sys.argv[1]), open_corpus(sys.argv[2])
    out = Path(sys.argv[3]) if len(sys.argv) > 3 else SHIPPED
    out.mkdir(parents=True, exist_ok=True)
    for name in ("study.toml", "runs.parquet", "observations.parquet"):
        shutil.copyfile(study / name, out / name)
    packed = pack_probe(study / "tokens" / "probe", out / PROBE, FREE)
    refuse_trained_on(packed.probe, corpus)
    observations, loss = with_validation_loss(open_study(study))
    tasks = tuple(make_cloze(corpus, source, items=300, prompt_tokens=64, option_tokens=32) for source in ASKED)
    curves = trace_texts(rung_checkpoints(study), observations, loss, corpus, TextPlan(cloze=tasks))
    write_curves(curves, out / TEXTS)


if __name__ == "__main__":
    main()
