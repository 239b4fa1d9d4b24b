"""Trajectories: the speed of the rule and its error rates, and what one curve in perplexity says of all sizes.

python benchmarks/trajectories.py rates
python benchmarks/trajectories.py categories [TOKENS]        # needs statsmodels for the loop beside it
python benchmarks/trajectories.py perplexity
python benchmarks/trajectories.py pythia                     # FORETELL_TESTBEDS
python benchmarks/trajectories.py ladder STUDY CORPUS FIGURES
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CHECKPOINTS = 40
NANOS = 1e9


def rates() -> None:
    """Count how often flat and moving tokens are called so, beside what the t-test promises."""
    from scipy import stats

    from foretell.trajectory import Category, TokenLosses, classify

    rng = np.random.default_rng(0)
    tokens = 100_000
    print("| trend a checkpoint | noise | checkpoints | upward | nominal | downward | nominal | stagnated | other |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for c in (10, 36):
            for slope, noise in ((0.0, 0.02), (0.0, 0.3), (0.002, 0.05), (-0.002, 0.05), (0.01, 0.05)):
                x = np.arange(c)
                ppl = 20 * (1 + slope * x[:, None] + noise * np.clip(rng.normal(size=(c, tokens)), -3, 3))
                path = Path(folder) / "losses.npy"
                np.save(path, np.log(ppl).astype(np.float16))
                share = classify(TokenLosses.of_matrix("simulated", x + 1.0, path), [0]).shares[0]
                t, shift = stats.t.ppf(0.975, c - 2), slope * np.sqrt(np.sum((x - x.mean()) ** 2)) / noise
                up, down = stats.nct.sf(t, c - 2, shift), stats.nct.cdf(-t, c - 2, shift)
                cells = [share[Category.UPWARD], up, share[Category.DOWNWARD], down]
                cells += [share[Category.STAGNATED], share[Category.OTHER]]
                print(f"| {slope:+.1%} | {noise:.0%} | {c} | " + " | ".join(f"{100 * v:.2f}" for v in cells) + " |")


def categories(tokens: int = 50_000_000) -> None:
    """Time the rule on a file of losses, beside a loop over tokens with pandas and statsmodels."""
    from foretell.trajectory import STARTS, TokenLosses, classify

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.npy"
        pattern = min(tokens, 1 << 20)
        usual = np.clip(rng.normal(3, 1.5, pattern), 0.2, 9).astype(np.float32)
        slope = rng.choice([-0.01, -0.002, 0.0, 0.002, 0.01], pattern).astype(np.float32)
        noise = rng.choice([0.005, 0.03, 0.3], pattern).astype(np.float32)
        with path.open("wb") as file:  # written, not mapped: pages of a mapped file would count as resident
            header = {"descr": "<f2", "fortran_order": False, "shape": (CHECKPOINTS, tokens)}
            np.lib.format.write_array_header_1_0(file, header)
            for at in range(CHECKPOINTS):
                row = usual + slope * at + noise * rng.standard_normal(pattern, np.float32)
                whole = np.maximum(row, 0).astype(np.float16).tobytes()
                for low in range(0, tokens, pattern):
                    file.write(whole[: 2 * min(pattern, tokens - low)])
        losses = TokenLosses.of_matrix("simulated", np.arange(1.0, CHECKPOINTS + 1), path)
        small = Path(folder) / "small.npy"
        np.save(small, np.load(path, mmap_mode="r")[:, :1000].copy())
        classify(TokenLosses.of_matrix("warm", losses.D, small))  # compiled before the clock starts
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        made = classify(losses, STARTS)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{tokens:,} tokens x {CHECKPOINTS} checkpoints x {len(STARTS)} starts: {wall:.1f} s wall, {cpu:.1f} s CPU"
        )
        print(f"peak resident {peak / 2**20:.2f} GiB (writing the file: {before / 2**20:.2f})")
        print(f"{NANOS * cpu / tokens:.0f} ns CPU a token; shares at 10 %: {made.shares[0].round(4).tolist()}")
        try:
            each = _loop(np.load(small).astype(np.float64)[:, :200], made.codes[:, :200])
        except ImportError:
            print("statsmodels is not installed: no loop beside it")
            return
        print(f"a loop with pandas and statsmodels: {1e3 * each:.2f} ms a token, {each / (cpu / tokens):,.0f} x")


def _loop(table: np.ndarray, codes: np.ndarray) -> float:
    """Give the CPU seconds a token of a loop over tokens and starts; its categories must be the same."""
    import pandas as pd
    import statsmodels.api as sm

    from foretell.trajectory import STARTS, Category
    from foretell.trajectory.rule import windows_of

    windows = windows_of(np.arange(1.0, CHECKPOINTS + 1), STARTS)
    found = np.empty((len(windows), table.shape[1]), np.uint8)
    began = time.process_time()
    for token in range(table.shape[1]):
        ppl = pd.Series(np.exp(table[:, token]))
        for s, window in enumerate(windows):
            part = ppl.iloc[window.first :]
            x = sm.add_constant(np.arange(len(part), dtype=float))
            line = sm.OLS(part.to_numpy() / part.iloc[0], x).fit()
            if line.pvalues[1] < 0.05:
                found[s, token] = Category.UPWARD if line.params[1] > 0 else Category.DOWNWARD
                continue
            ends = part.iloc[0] * line.fittedvalues[[0, -1]] / np.exp(np.log(part).mean())
            found[s, token] = Category.STAGNATED if (np.abs(ends - 1) <= 0.05).all() else Category.OTHER
    spent = (time.process_time() - began) / table.shape[1]
    print(f"{np.mean(found == codes):.2%} of the loop's categories are the same")
    return spent


def perplexity() -> None:
    """Time the reading of texts and of a probe beside the bare forward pass, checkpoints loaded from disk included."""
    import torch

    from foretell.corpus import ByteTokenizer
    from foretell.lm.checkpoint import save_model
    from foretell.lm.model import make_model
    from foretell.lm.perplexity import text_losses
    from foretell.lm.task_checkpoint import load_checkpoint
    from foretell.lm.validation import token_losses
    from foretell.rung import Shape

    torch.set_num_threads(1)
    shape = Shape(layers=6, width=256, heads=4, kv_heads=4, mlp_width=688, vocabulary=2048, sequence=256)
    ids = np.random.default_rng(0).integers(0, 255, (96, 256))
    with tempfile.TemporaryDirectory() as folder:
        for at in range(3):
            place = Path(folder) / f"step{at}"
            place.mkdir()
            save_model(place, make_model(shape, init_std=0.02, seed=at, eos=256))
            ByteTokenizer().save(place)
        times: dict[str, list[float]] = {"forward pass": [], "texts": [], "probe": [], "load": []}
        for _ in range(3):
            for at in range(3):
                began = time.process_time()
                model = load_checkpoint(Path(folder) / f"step{at}").model
                times["load"].append(time.process_time() - began)
                began = time.process_time()
                with torch.inference_mode():
                    for low in range(0, len(ids), 16):
                        model(torch.from_numpy(ids[low : low + 16]), use_cache=False)
                times["forward pass"].append(time.process_time() - began)
                began = time.process_time()
                text_losses(model, ids, eos=256)
                times["texts"].append(time.process_time() - began)
                began = time.process_time()
                token_losses(model, ids.ravel(), eos=256, sequence=256)
                times["probe"].append(time.process_time() - began)
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, spent in middle.items():
        share = "" if name == "load" else f"; {middle['forward pass'] / spent:.3f} of the forward pass's speed"
        print(f"{name}: {1e3 * spent:.0f} ms CPU a checkpoint of {ids.size:,} tokens{share}")


PYTHIA = {  # metric: chance; the accuracies of the file that small models leave chance on
    "lambada_openai|acc": 0.0, "arc_easy|acc": 0.25, "piqa|acc": 0.5, "sciq|acc": 0.25, "winogrande|acc": 0.5,
}  # fmt: skip


def pythia() -> None:
    """Compare one curve with a curve a size on the public Pythia checkpoints up to 1.4B."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    import polars as pl

    from protocols import testbeds

    for family in ("pythia-v1", "pythia-v0"):  # only the earlier has wikitext
        _family(pl.read_csv(testbeds() / "pythia" / "checkpoints_wide.csv", infer_schema_length=None), family)


def _family(frame: Any, family: str) -> None:
    import polars as pl

    from foretell.errors import FitError
    from foretell.trajectory import compare_pooled, emergence_point

    frame = frame.filter(
        (pl.col("D") > 0)
        & (pl.col("family") == family)
        & (pl.col("folder_shots") == "zero-shot")
        & (pl.col("variant") == "deduped")
        & (pl.col("N_total") <= 1.5e9)
    )
    axes = {"lambada": pl.col("lambada_openai|ppl").log()}
    if frame["wikitext|bits_per_byte"].count():
        axes["wikitext bpb"] = pl.col("wikitext|bits_per_byte")
    axes["log D"] = pl.col("D").cast(pl.Float64).log()
    axes["log C"] = (6.0 * pl.col("N_nonemb") * pl.col("D")).log()
    sizes = ", ".join(sorted(frame["size"].unique().to_list()))
    print(f"\n{family}, deduplicated, without examples: {sizes}; {len(frame)} checkpoints")
    print(
        "| task | over | n | one curve, points | own curves | ratio, 80 % | F-test p | largest left out | emerges at |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for task, chance in PYTHIA.items():
        for axis, column in axes.items():
            rows = frame.select(x=column, y=task, size="N_nonemb", run="size").drop_nulls()
            rows = rows.filter(pl.col("x").is_finite())
            if axis == "lambada":
                rows = rows.filter(pl.col("x") < 12)  # above, the model has not left the uniform guess over words
            try:
                x, y, size = (rows[name].to_numpy().astype(float) for name in ("x", "y", "size"))
                run = rows["run"].to_numpy().astype(str)
                made = compare_pooled(task, x, y, size, run)
            except FitError as error:
                print(f"| {task} | {axis} | | | | {error} | | | |")
                continue
            low, high = made.interval()
            point = ""
            if axis in ("lambada", "wikitext bpb"):
                e = emergence_point(task, x, y, run, chance)
                a, b = e.interval()
                point = f"{e.loss:.2f} [{a:.2f}, {b:.2f}]"
            print(
                f"| {task} | {axis} | {made.n} | {100 * made.pooled:.2f} | {100 * made.separate:.2f} | "
                f"{made.ratio:.2f} [{low:.2f}, {high:.2f}] | {made.p:.2g} | {100 * made.left_out[-1]:.2f} | {point} |"
            )


def ladder(study: str, corpus: str, figures: str) -> None:
    """Trace a ladder's study and draw it in few colours: what docs/trajectories.md shows."""
    import subprocess

    from PIL import Image

    cloze = ["--cloze", "dictionary", "--cloze", "code"]
    subprocess.run(["foretell", "trace", study, "--corpus", corpus, *cloze, "--figure-dir", figures], check=True)
    for path in Path(figures).glob("*.png"):
        Image.open(path).convert("RGB").quantize(48).save(path, optimize=True)


def main() -> None:
    kinds = {"rates": rates, "categories": categories, "perplexity": perplexity, "pythia": pythia, "ladder": ladder}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    kinds[sys.argv[1]](*([int(sys.argv[2])] if sys.argv[1] == "categories" and len(sys.argv) > 2 else sys.argv[2:]))


if __name__ == "__main__":
    main()
