"""The optimiser of a rung: AdamW, whose decay spares norms and embeddings."""

from __future__ import annotations

from typing import Any

from foretell.rung import Rung

EPSILON = 1e-8  # 1412.6980, Alg. 1


def make_optimiser(model: Any, rung: Rung) -> Any:
    """Make AdamW for a model; matrices within layers decay, norms and the embedding do not (2005.14165, App. B)."""
    import torch

    kept: list[Any] = []
    decayed: list[Any] = []
    for name, parameter in model.named_parameters():
        (kept if parameter.ndim < 2 or "embed" in name or "lm_head" in name else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": rung.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rung.learning_rate, betas=(rung.beta1, rung.beta2), eps=EPSILON, fused=True)
