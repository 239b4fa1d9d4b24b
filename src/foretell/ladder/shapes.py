"""A family of Llama shapes from twenty thousand to a trillion parameters."""

from __future__ import annotations

import math
from functools import lru_cache

from foretell.errors import LadderError
from foretell.rung import Shape
from foretell.units import format_count

SMALLEST, LARGEST = (
    2e4,
    1e12,
)  # two layers of width 32; Llama 3's 16384/126 at 405B still fits (arXiv 2407.21783, Table 3)
MLP_RATIO = 8 / 3  # of the width: LLaMA, arXiv 2302.13971, §2.2 (2/3 · 4d)
MLP_RANGE = (2.0, 4.0)  # so that N can be met: 4 is the OLMo ladder's (allenai/OLMo-ladder, mlp_ratio 8 in SwiGLU)
# Width over layers: 64 in the OLMo ladder at 190M (768/12), 128 in LLaMA from 7B on (4096/32, arXiv 2302.13971,
# Table 2), a power law between, which gives 16 at 20K. The loss hardly depends on it: within a few per cent over a
# factor 40 (arXiv 2001.08361, Fig. 5).
ASPECT, ASPECT_AT, ASPECT_EXPONENT, ASPECT_RANGE = 64.0, 1.9e8, 0.15, (16.0, 128.0)
# Head width by width: 64 at 768 and 1024 and 128 at 2048 and beyond in the OLMo ladder and LLaMA; never below 16.
HEADS = ((128, 16), (512, 32), (2048, 64), (math.inf, 128))
# An MLP's width is a multiple of this: 256 in LLaMA; small models need finer steps to meet N.
MLP_STEPS = ((256, 8), (2048, 64), (math.inf, 256))
FEWEST_LAYERS = 2
TIED_BELOW = 5e9  # Qwen2.5 ties up to 3B and not from 7B on (arXiv 2412.15115, Table 1)
N_WEIGHT = 400.0  # in the choice of a shape: N off by 1 % counts as much as a proportion off by 20 %


def aspect_of(N: float) -> float:
    """Give the width over layers of the family at N parameters."""
    low, high = ASPECT_RANGE
    return float(min(high, max(low, ASPECT * (N / ASPECT_AT) ** ASPECT_EXPONENT)))


@lru_cache(maxsize=4096)
def shape_near(N: float, vocabulary: int, sequence: int, *, tied: bool) -> Shape:
    """Give the family's shape of about N parameters without embeddings.

    Of the widths, layers and MLP widths near the family's proportions, those are taken that meet N best (within 4 %).
    Raises LadderError for an N outside the family.
    """
    if not SMALLEST <= N <= LARGEST:
        raise LadderError(
            f"a rung of {format_count(N)} parameters lies outside the family of shapes, {format_count(SMALLEST)} to "
            f"{format_count(LARGEST)}; write its [[rung]] with a shape of your own"
        )
    aspect = aspect_of(N)
    middle = (aspect * N / 12.0) ** (1 / 3)  # 12 width² a layer: 4 of attention, 3 · 8/3 of the MLP
    head = _of(HEADS, middle)
    best: tuple[float, tuple[int, int, int]] | None = None
    grain = head * (2 if head == HEADS[-1][1] else 1)  # large models are cut over devices by heads: keep them even
    lowest = max(2 * head, int(0.75 * middle / grain) * grain)
    for width in range(lowest, max(lowest, int(1.35 * middle)) + 1, grain):
        usual = width / aspect
        for layers in range(max(FEWEST_LAYERS, int(0.8 * usual)), max(FEWEST_LAYERS, math.ceil(1.25 * usual)) + 1):
            step = _of(MLP_STEPS, width)
            left = (N - (2 * layers + 1) * width - 4 * layers * width * width) / (3 * layers * width)
            mlp = step * round(min(MLP_RANGE[1] * width, max(MLP_RANGE[0] * width, left)) / step)
            met = layers * width * (4 * width + 3 * mlp + 2) + width
            off = (
                N_WEIGHT * math.log(met / N) ** 2
                + math.log(mlp / width / MLP_RATIO) ** 2
                + math.log(width / layers / aspect) ** 2
            )
            if best is None or off < best[0]:
                best = off, (width, layers, mlp)
    assert best is not None
    width, layers, mlp = best[1]
    heads = width // head
    return Shape(
        layers=layers, width=width, heads=heads, kv_heads=heads, mlp_width=mlp,
        vocabulary=vocabulary, sequence=sequence, tied=tied,
    )  # fmt: skip


def _of(table: tuple[tuple[float, int], ...], width: float) -> int:
    return next(value for bound, value in table if width < bound)
