"""Feed every reader, and the formula parser, what a coverage-guided fuzzer makes of real files.

Usage: python tests/fuzz/fuzz_readers.py KIND [libFuzzer options], such as -max_total_time=60; KIND may be `formula`.
"""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["foretell.sources", "foretell.laws.formula"]):
    import foretell.laws
    from foretell.errors import ForetellError
    from foretell.sources import SOURCES

FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLE = FIXTURES / "runs.toml"
NAMES = {
    "lm-eval": ("samples_toy_mc_2026-01-01T00-00-00.0.jsonl", "lm-eval/*/samples_*"),
    "lm-eval-results": ("results_2026-01-01T00-00-00.0.json", "lm-eval/*/results_*"),
    "wandb": ("run-190M-1xC.wandb", "wandb/offline/*"),
    "wandb-csv": ("a.csv", "wandb/*.csv"),
    "wandb-json": ("a.json", "wandb/export/*"),
    "tensorboard": ("events.out.tfevents.1", "tensorboard/*/*tfevents*"),
    "mlflow": ("mlflow.db", "mlflow/mlflow.db"),
    "trainer": ("trainer_state.json", "trainer/runs/**/trainer_state.json"),
    "olmo-core": ("metrics_step1.json", "olmo-core/*/*.json"),
    "torchtitan": ("a.log", "torchtitan/*.log"),
    "lightning": ("metrics.csv", "lightning/**/metrics.csv"),
    "levanter": ("tracker_metrics.jsonl", "levanter/*"),
    "every-eval-ever": ("a.json", "every-eval-ever/**/*.json"),
}


def main():
    kind = sys.argv.pop(1)
    folder = Path(tempfile.mkdtemp())
    corpus = folder / "corpus"
    corpus.mkdir()
    if kind == "formula":
        for number, law in enumerate(foretell.laws.LAWS.values()):
            (corpus / str(number)).write_text(law.formula)

        def once(content):
            text = content.decode("utf-8", "replace")
            with contextlib.suppress(ForetellError):
                foretell.laws.formula.Formula(text)
    else:
        name, glob = NAMES[kind]
        for number, file in enumerate(sorted(FIXTURES.glob(glob))):
            shutil.copyfile(file, corpus / str(number))
        source = next(known for known in SOURCES if kind == known or kind.startswith(f"{known}-"))
        place = folder / "made"
        place.mkdir()

        def once(content):
            (place / name).write_bytes(content)
            with contextlib.suppress(ForetellError):
                SOURCES[source](place / name, runs=TABLE, tokens_per_step=1000.0)

    atheris.Setup([sys.argv[0], f"-artifact_prefix={folder}/", "-max_len=65536", *sys.argv[1:], str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
