"""Whatever bytes a file holds, a reader gives observations or an error of ours, and nothing else."""

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.sources import SOURCES, MetricMap, RunTable
from made_files import FIXTURES

TABLE = FIXTURES / "runs.toml"
REAL = {  # a real file of each kind, and what it must be called
    "lm-eval": ("lm-eval/small__checkpoint-100/samples_toy_mc_*", "lm-eval/small__checkpoint-100/results_*"),
    "wandb": ("wandb/offline/run-190M-1xC.wandb", "wandb/export/190M-1xC.json", "wandb/panel_loss.csv"),
    "tensorboard": ("tensorboard/60M/*tfevents*",),
    "mlflow": ("mlflow/mlflow.db",),
    "trainer": ("trainer/runs/tiny/trainer_state.json",),
    "olmo-core": ("olmo-core/60M-1xC/metrics_step100.json",),
    "torchtitan": ("torchtitan/debug-8M.log",),
    "lightning": ("lightning/pythia-14m/version_0/metrics.csv",),
    "every-eval-ever": ("every-eval-ever/toy_mc/small/checkpoint-100/*[0-9a-f].json",),
}
CASES = [(kind, next(FIXTURES.glob(glob))) for kind, globs in REAL.items() for glob in globs]
LEVANTER = b'{"config": {"run_name": "a"}, "summary": {"eval/c4/loss": 3.2, "throughput/total_tokens": 5, "parameter_count": 9}}\n'
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
pieces = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"NaN", b"-1e999", b"1e400", b'"', b"{", b"]", b"null", b"\x00", b"\xff\xff\xff\xff", b"9" * 400, b"\\ud800"]
    ),
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), pieces), min_size=1, max_size=5)


def readable(kind, name, content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        with contextlib.suppress(ForetellError):
            SOURCES[kind](file, runs=TABLE, tokens_per_step=1000.0)


def edited(content, changes):
    content = bytearray(content)
    for where, removed, put in changes:
        at = int(where * len(content))
        content[at : at + removed] = put
    return bytes(content)


@pytest.mark.parametrize(("kind", "file"), CASES, ids=[f"{kind}-{file.suffix}" for kind, file in CASES])
@quick
@given(changes=edits)
def test_a_real_file_with_damage_is_read_or_refused(kind, file, changes):
    readable(kind, file.name, edited(file.read_bytes(), changes))


@pytest.mark.parametrize(("kind", "file"), CASES, ids=[f"{kind}-{file.suffix}" for kind, file in CASES])
@quick
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(kind, file, content):
    readable(kind, file.name, content)


@quick
@given(changes=edits)
def test_a_tracker_file_with_damage_is_read_or_refused(changes):
    readable("levanter", "tracker_metrics.jsonl", edited(LEVANTER, changes))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
FIELDS = {
    "lm-eval": ["results", "config", "groups", "n-samples", "n-shot", "group_subtasks", "configs", "model_name"],
    "trainer": ["log_history", "global_step", "num_input_tokens_seen"],
    "olmo-core": ["name", "step", "tokens", "train/CE loss", "throughput/total tokens"],
    "every-eval-ever": ["schema_version", "model_info", "evaluation_results", "evaluation_timestamp"],
}
NAMES = {
    "lm-eval": "results.json",
    "trainer": "trainer_state.json",
    "olmo-core": "metrics_step1.json",
    "every-eval-ever": "a.json",
}


@pytest.mark.parametrize("kind", FIELDS)
@quick
@given(data=st.data())
def test_any_values_under_the_right_names_are_read_or_refused(kind, data):
    real = next(file for of, file in CASES if of == kind and file.suffix == ".json")
    content = json.loads(real.read_text())
    for name in data.draw(st.lists(st.sampled_from(FIELDS[kind]), min_size=1, max_size=3)):
        content[name] = data.draw(values)
    readable(kind, NAMES[kind], json.dumps(content).encode())


SAMPLE = ["doc_id", "doc", "target", "arguments", "filtered_resps", "filter", "metrics", "doc_hash", "acc", "acc_norm"]


@quick
@given(st.lists(st.tuples(st.sampled_from(SAMPLE), values), min_size=1, max_size=3))
def test_any_values_in_a_sample_are_read_or_refused(changes):
    real = next(file for kind, file in CASES if kind == "lm-eval" and file.suffix == ".jsonl")
    sample = json.loads(real.read_text().splitlines()[0]) | dict(changes)
    readable("lm-eval", real.name, json.dumps(sample).encode())


@pytest.mark.parametrize("name", ["a.csv", "a.toml"])
@quick
@given(
    content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
)
def test_a_table_or_map_of_any_bytes_is_read_or_refused(name, content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        for head in (b"", b"run,N,D,lr\n", b"[[log]]\nkey = "):
            file.write_bytes(head + content)
            for read in (RunTable.read, MetricMap.read):
                with contextlib.suppress(ForetellError):
                    read(file)
