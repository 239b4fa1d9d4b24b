"""lm-evaluation-harness, run on a checkpoint when it is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.corpus.tokenizer import ByteTokenizer, Tokenizer
from foretell.errors import TrainError, UnknownName
from foretell.lm.task_measurement import Measurement
from foretell.table.metric import Unit, metric_named

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_UNITS: dict[str, Unit] = {"bits_per_byte": "bits/byte", "brier_score": "value"}


def run_harness(
    model: Any,
    tokenizer: Tokenizer,
    folder: str | Path,
    tasks: Sequence[str],
    *,
    include: str | Path | None = None,
    limit: int | None = None,
    batch: int = 16,
    online: bool = False,
) -> list[Measurement]:
    """Run tasks of lm-evaluation-harness on a model loaded from a checkpoint folder, and name what they measured.

    `include` is a folder with tasks of your own (YAML), `limit` the first so many items of each task. Nothing is
    downloaded unless `online`. Metrics are TASK/METRIC, such as `arc_easy/acc_norm`. Raises TrainError when the harness
    is not installed or fails, UnknownName for a task that it does not have.
    """
    with _offline(not online):
        try:
            from lm_eval import simple_evaluate
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise TrainError(
                f"lm-evaluation-harness cannot be used ({error}); run pip install 'foretell[eval]', "
                "or leave --harness out"
            ) from None
        manager = TaskManager(include_path=None if include is None else str(include))
        for task in tasks:
            if task not in manager.all_tasks:
                raise UnknownName("task of lm-evaluation-harness", task, manager.all_tasks)
        wrapped = HFLM(
            pretrained=model,
            tokenizer=transformers_tokenizer(tokenizer, folder),
            backend="causal",
            batch_size=batch,
            max_length=getattr(model.config, "max_position_embeddings", None),
        )
        try:
            found = simple_evaluate(
                model=wrapped,
                tasks=list(tasks),
                task_manager=manager,
                limit=limit,
                bootstrap_iters=0,
                log_samples=False,
            )
        except (OSError, ValueError, RuntimeError) as error:  # data sets that are not on this machine, mostly
            raise TrainError(
                f"lm-evaluation-harness could not run {', '.join(tasks)}: {error}; where data must be fetched, "
                "fetch them first or allow it with --online"
            ) from None
    return measurements(found)


def measurements(found: dict[str, Any]) -> list[Measurement]:
    """Name the values in the harness's result: `results` by task and `METRIC,FILTER`, `n-samples` by task."""
    made = []
    for task, values in sorted(found["results"].items()):
        count = found.get("n-samples", {}).get(task, {}).get("effective")
        for key, value in sorted(values.items()):
            measure, comma, rule = key.partition(",")
            if not comma or measure.endswith("_stderr") or not isinstance(value, int | float):
                continue
            name = f"{task}/{measure}" if rule == "none" else f"{task}/{measure}_{rule}"
            error = values.get(f"{measure}_stderr,{rule}")
            made.append(
                Measurement(
                    metric_named(name, unit=_UNITS.get(measure), items=count),
                    float(value),
                    float(error) if isinstance(error, int | float) else None,
                    count,
                )
            )
    return made


def transformers_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> PreTrainedTokenizerBase:
    """Give the tokenizer of a checkpoint folder as `transformers` has it; one of bytes is made, with the same ids."""
    from transformers import AutoTokenizer

    if isinstance(tokenizer, ByteTokenizer):
        return _bytes(tokenizer)
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return found


def _bytes(tokenizer: ByteTokenizer) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = _letters()
    rust = Rust(models.BPE(vocab={letter: byte for byte, letter in enumerate(letters)}, merges=[]))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rust.decoder = decoders.ByteLevel()
    made: PreTrainedTokenizerBase = PreTrainedTokenizerFast(tokenizer_object=rust, eos_token="<|endoftext|>")
    if made.eos_token_id != tokenizer.eos:
        raise TrainError(f"the end of a document is {made.eos_token_id} for transformers, {tokenizer.eos} here")
    return made


def _letters() -> list[str]:
    """Give the letter that stands for each byte in byte-level vocabularies (GPT-2): printable ones for themselves."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


@contextmanager
def _offline(forbid: bool) -> Iterator[None]:
    """Keep the hub's libraries off the network; they read this when they are imported."""
    before = {name: os.environ.get(name) for name in OFFLINE}
    if forbid:
        os.environ.update(dict.fromkeys(OFFLINE, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
