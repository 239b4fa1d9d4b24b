"""Time and memory to read harness samples: a folder of about 1 GB, made here, of the form that lm_eval 0.4.13 writes.

Usage: python benchmarks/harness_samples.py [FOLDER] [GB]
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READ = """
import resource, sys, time
from foretell.sources import read_harness
began = time.perf_counter()
harness = read_harness(sys.argv[1], tokens_per_step=4_000_000)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{seconds:.1f} s, {peak:.2f} GiB resident, {len(harness.outcomes):,} outcomes, {len(harness.scores):,} scores")
"""
WORDS = ("the", "of", "and", "model", "data", "small", "tree", "over", "river", "stone", "light", "open", "question")


def sentence(rng, count):
    return " ".join(rng.choices(WORDS, k=count))


def document(rng, number, shots):
    """Make one document of four choices, with a context of some worked examples as few-shot prompts have."""
    choices = [sentence(rng, rng.randint(3, 14)) for _ in range(4)]
    context = f"{shots}\n\nQuestion: {sentence(rng, 30)}\nAnswer:"
    lls = [round(-rng.uniform(5, 60), 6) for _ in choices]
    gold = rng.randrange(4)
    doc = {"id": number, "question": context[-200:], "choices": choices, "gold": gold}
    acc = float(max(range(4), key=lls.__getitem__) == gold)
    norm = float(max(range(4), key=lambda i: lls[i] / len(choices[i])) == gold)
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(gold),
        "arguments": {f"gen_args_{i}": {"arg_0": context, "arg_1": f" {choice}"} for i, choice in enumerate(choices)},
        "resps": [[[str(ll), "False"]] for ll in lls],
        "filtered_resps": [[str(ll), "False"] for ll in lls],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": hashlib.sha256(json.dumps(doc).encode()).hexdigest(),
        "prompt_hash": hashlib.sha256(context.encode()).hexdigest(),
        "target_hash": hashlib.sha256(str(gold).encode()).hexdigest(),
        "acc": acc,
        "acc_norm": norm,
    }


def make(folder, size):
    """Write samples and results of 20 tasks for 10 models until `size` bytes lie there."""
    rng = random.Random(0)
    written, models, tasks = 0, 10, 20
    stamp = "2026-01-01T00-00-00.000000"
    for model in range(models):
        place = folder / f"ladder__model{model}__step1000"
        place.mkdir(parents=True)
        results = {}
        for task in range(tasks):
            shots = "\n\n".join(f"Question: {sentence(rng, 25)}\nAnswer: {sentence(rng, 8)}" for _ in range(5))
            share, count, right = size * (model * tasks + task + 1) / (models * tasks), 0, 0
            with (place / f"samples_task{task}_{stamp}.jsonl").open("w") as file:
                while written < share:
                    sample = document(rng, count, shots)
                    written += file.write(json.dumps(sample, ensure_ascii=False) + "\n")
                    count, right = count + 1, right + sample["acc"]
            results[f"task{task}"] = {"alias": f"task{task}", "acc,none": right / count, "acc_stderr,none": "N/A"}
        config = {
            "model": "hf",
            "model_args": f"pretrained=ladder/model{model},revision=step1000",
            "model_num_parameters": 10**8,
        }
        (place / f"results_{stamp}.json").write_text(json.dumps({"results": results, "config": config}))
    return written


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "samples"
    size = float(sys.argv[2] if len(sys.argv) > 2 else 1.0) * 1e9
    if not folder.exists():
        began = time.perf_counter()
        written = make(folder, size)
        print(f"made {written / 1e9:.2f} GB in {time.perf_counter() - began:.0f} s")
    bytes_there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{bytes_there / 1e9:.2f} GB of samples: ", end="", flush=True)
    subprocess.run([sys.executable, "-c", READ, str(folder)], check=True)


if __name__ == "__main__":
    main()
