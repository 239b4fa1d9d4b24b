"""The model of a rung: a Llama of a given shape, as `transformers` builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.errors import TrainError
from foretell.rung import Shape

if TYPE_CHECKING:
    import torch

ROUNDED_TO = 8  # rows of an embedding: kernels are fastest on multiples of 8
ROPE_THETA = 10_000.0  # 2104.09864, §3.2.2


def rows_of(vocabulary: int) -> int:
    """Give the rows of an embedding for so many ids: rounded up."""
    return -(-vocabulary // ROUNDED_TO) * ROUNDED_TO


def make_model(shape: Shape, *, init_std: float, seed: int, eos: int) -> Any:
    """Make an untrained Llama (`transformers.LlamaForCausalLM`) in fp32, its weights fixed by the seed.

    Matrices start from N(0, init_std²), those that write to the residual stream divided by √(2 layers) (GPT-2, §2.3).
    """
    torch = import_torch()
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.sequence,
        tie_word_embeddings=shape.tied,
        rope_theta=ROPE_THETA,
        initializer_range=init_std,
        bos_token_id=eos,
        eos_token_id=eos,
        use_cache=False,
        attention_dropout=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        narrow = init_std / (2 * shape.layers) ** 0.5
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.normal_(0.0, narrow)
    if (found := sum(p.numel() for p in model.parameters())) != shape.N_total:
        raise TrainError(f"the model has {found} parameters, its shape says {shape.N_total}")
    return model


def import_torch() -> Any:
    """Import torch, or say how to install it."""
    try:
        import torch
    except ImportError:
        raise TrainError("training and scoring models need torch: pip install 'foretell[train]'") from None
    return torch


def next_token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the loss in nats of each target: logits (…, positions, ids) and targets (…, positions)."""
    from torch.nn.functional import cross_entropy

    flat = cross_entropy(logits.float().reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
    return flat.reshape(targets.shape)
