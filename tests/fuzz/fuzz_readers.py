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
# every name that a made file may give its run, so that a reader goes on to the values; what N and D are does not matter
RUNS = ("made", "a", "metrics", "60M", "190M-1xC", "370M-1xC", "60M-1xC", "100M-1xC", "debug-8M")
LEVANTER = '{"config": {"run_name": "a"}, "summary": {"eval/c4/loss": 3.2, "throughput/total_tokens": 5, "parameter_count": 9}}\n'
LEAST_LENGTH = 1 << 16  # of what the fuzzer makes; twice the longest real file where that is more
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
    longest = LEAST_LENGTH
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
            longest = max(longest, 2 * file.stat().st_size)
        if kind == "levanter":
            (corpus / "0").write_text(LEVANTER)
        source = next(known for known in SOURCES if kind == known or kind.startswith(f"{known}-"))
        place = folder / "made"
        place.mkdir()
        table = folder / "runs.csv"
        table.write_text("run,N,D\n" + "".join(f"{run},8M,1B\n" for run in RUNS))

        def read(content):
            (place / name).write_bytes(content)
            SOURCES[source](place / name, runs=table, tokens_per_step=1000.0)

        def once(content):
            with contextlib.suppress(ForetellError):
                read(content)

        refuse_shallow(kind, corpus, read)

    atheris.Setup([sys.argv[0], f"-artifact_prefix={folder}/", f"-max_len={longest}", *sys.argv[1:], str(corpus)], once)
    atheris.Fuzz()


def refuse_shallow(kind, corpus, read):
    """Stop where no real file is read to its end: a fuzzer that never gets past the door finds nothing behind it."""
    refused = []
    for file in sorted(corpus.iterdir()):
        try:
            read(file.read_bytes())
        except ForetellError as error:
            refused.append(str(error))
    if len(refused) == len(list(corpus.iterdir())):
        sys.exit(f"no real file of {kind} is read: {refused[0] if refused else 'there is none'}")


if __name__ == "__main__":
    main()
