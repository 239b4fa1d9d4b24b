"""Training throughput of a whole ladder beside a plain PyTorch and transformers loop on the same work.

    python benchmarks/training.py [SECONDS a rung] [--litgpt PYTHON]

Three rungs (200K, 1M, 3M) on two cores. The plain loop: one process, two threads, eager, the same model, precision and
batch, one rung after another. Ours: `foretell train`'s own code, rungs packed one a core, compiled. Both in bf16 and in
fp32; times with and without starting and compiling. With the Python of an environment that holds litgpt, its model in
the same loop as well, compiled as its `pretrain` does. A shared trunk's saving comes on top, and is not counted here.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

SHAPES = {
    "200K": {"layers": 3, "width": 64, "heads": 2, "kv_heads": 2, "mlp_width": 256},
    "1M": {"layers": 4, "width": 128, "heads": 4, "kv_heads": 4, "mlp_width": 432},
    "3M": {"layers": 5, "width": 192, "heads": 3, "kv_heads": 3, "mlp_width": 768},
}
TOKENS_A_SECOND = {"200K": 20_000, "1M": 6_000, "3M": 3_000}  # a first guess, so that rungs take about equally long
COMMON = {"vocabulary": 264, "sequence": 256}
BATCH = 16

TRANSFORMERS = """
from transformers import LlamaConfig, LlamaForCausalLM
def make(shape):
    return LlamaForCausalLM(LlamaConfig(vocab_size=shape["vocabulary"], hidden_size=shape["width"],
        intermediate_size=shape["mlp_width"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=shape["sequence"], tie_word_embeddings=True, use_cache=False))
def loss_of(model, batch):
    return model(input_ids=batch, labels=batch).loss
"""

LITGPT = """
import torch
from litgpt import GPT, Config
def make(shape):
    model = GPT(Config(block_size=shape["sequence"], vocab_size=shape["vocabulary"],
        padded_vocab_size=shape["vocabulary"], n_layer=shape["layers"], n_head=shape["heads"],
        n_query_groups=shape["kv_heads"], n_embd=shape["width"], intermediate_size=shape["mlp_width"],
        norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", bias=False, parallel_residual=False,
        rotary_percentage=1.0))
    model.lm_head.weight = model.transformer.wte.weight
    model.apply(lambda m: torch.nn.init.normal_(m.weight, std=0.02) if isinstance(m, torch.nn.Embedding) else None)
    return torch.compile(model)
def loss_of(model, batch):
    logits = model(batch)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten())
"""

LOOP = """
import json, sys, time
import torch
told = json.loads(sys.argv[1])
torch.set_num_threads(2)
made = {}
began = time.perf_counter()
for name, shape, steps in told["rungs"]:
    model = make(shape)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = torch.randint(0, 256, (64, told["batch"], shape["sequence"]))
    for step in range(steps + 3):
        if step == 3:
            start = time.perf_counter()
        batch = data[step % 64]
        with torch.autocast("cpu", torch.bfloat16, enabled=told["precision"] == "bf16"):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        loss.item()
    made[name] = time.perf_counter() - start
print(json.dumps({"rungs": made, "whole": time.perf_counter() - began}))
"""

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np, torch
told = json.loads(sys.argv[1])
torch.set_num_threads(told["threads"])
from foretell.corpus import open_corpus
from foretell.lm import train as training
from foretell.lm.report import Progress
from foretell.rung import Evaluation, Rung
marks = []
real = Progress.at
def at(self, step, loss, rate):
    marks.append(time.perf_counter())
    real(self, step, loss, rate)
Progress.at = at
name, shape, steps = told["rung"]
rung = Rung(name=name, shape=shape, D=(steps * told["batch"] * shape["sequence"],), batch=told["batch"], warmup=1,
    learning_rate=1e-3, precision=told["precision"], compiled=told["compiled"], weights=told["weights"],
    most_epochs=1e9, schedule="cosine")
training.report_measurement = lambda *a: None
training.train_rung(rung, open_corpus(told["corpus"]), told["study"], evaluation=Evaluation(probe=0, checkpoints=0))
print(json.dumps(marks[-1] - marks[2]))
"""


def threads(count):
    return {**os.environ, "OMP_NUM_THREADS": str(count), "OMP_WAIT_POLICY": "passive"}


def plain(rungs, precision, model=TRANSFORMERS, python=sys.executable):
    """Run the plain loop; give seconds by rung, and of the whole process."""
    began = time.perf_counter()
    told = json.dumps({"rungs": rungs, "precision": precision, "batch": BATCH})
    done = subprocess.run(
        [python, "-c", model + LOOP, told], check=True, capture_output=True, text=True, env=threads(2)
    )
    made = json.loads(done.stdout.splitlines()[-1])
    return made["rungs"], sum(made["rungs"].values()), time.perf_counter() - began


def ours(rungs, precision, compiled, corpus, weights, folder, at_once=2):
    """Train so many rungs at once on two cores; give seconds by rung, until the last ended, with and without start."""
    waiting, running, made = list(rungs)[::-1], {}, {}
    began = time.perf_counter()
    busy = [0.0] * at_once
    each = 2 // at_once
    while waiting or running:
        for core in range(at_once):
            if core not in running and waiting:
                rung = waiting.pop(0)
                told = {
                    "rung": rung, "precision": precision, "compiled": compiled, "batch": BATCH, "corpus": str(corpus),
                    "weights": weights, "study": str(folder / f"{precision}{compiled}{at_once}"), "threads": each,
                }  # fmt: skip
                command = [sys.executable, "-c", OURS, json.dumps(told)]
                running[core] = (rung[0], subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=threads(1)))
        time.sleep(0.05)
        for core, (name, process) in list(running.items()):
            if process.poll() is not None:
                said = process.stdout.read()
                assert process.returncode == 0, said
                made[name] = json.loads(said.splitlines()[-1])
                busy[core] += made[name]
                del running[core]
    return made, max(busy), time.perf_counter() - began


def main():
    from foretell.ladder.live import make_live_ladder

    given = sys.argv[1:]
    litgpt = given.pop(given.index("--litgpt") + 1) if "--litgpt" in given else ""
    seconds = float(given[0]) if given and given[0] != "--litgpt" else 60.0
    rungs = [
        (name, {**shape, **COMMON}, max(20, round(seconds * TOKENS_A_SECOND[name] / (BATCH * COMMON["sequence"]))))
        for name, shape in SHAPES.items()
    ]
    with TemporaryDirectory() as folder:
        live = make_live_ladder(Path(folder) / "live")
        corpus, weights = live.file.parent / "corpus", {"code": 0.6, "docs": 0.4}
        for precision in ("fp32", "bf16"):
            base, steady, whole = plain(rungs, precision)
            print(f"\n{precision}: plain loop, 2 threads, eager: {steady:.1f} s, with start {whole:.1f} s")
            if litgpt:
                _, theirs, theirs_whole = plain(rungs, precision, LITGPT, litgpt)
                print(
                    f"{precision}: litgpt's model, 2 threads, compiled: {theirs:.1f} s, with start {theirs_whole:.1f} s"
                )
            for compiled in (False, True):
                each, packed, all_in = ours(rungs, precision, compiled, corpus, weights, Path(folder))
                cells = ", ".join(f"{name} {base[name] / each[name]:.2f}" for name in base)
                how = "compiled" if compiled else "eager"
                print(f"{precision}: ours, one rung a core, {how}: {packed:.1f} s, with start {all_in:.1f} s")
                print(f"    {steady / packed:.2f} × ({whole / all_in:.2f} × with start); a rung on one core: {cells} ×")
                alone, _, _ = ours(rungs, precision, compiled, corpus, weights, Path(folder), at_once=1)
                print(f"    a rung on both cores: {', '.join(f'{n} {base[n] / alone[n]:.2f}' for n in base)} ×")


if __name__ == "__main__":
    main()
