"""The parameters of a model, counted from its Hugging Face config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import json_document, mapping

LARGEST = 10**9  # no width, depth or vocabulary is larger; what is comes from a damaged file


@dataclass(frozen=True)
class ModelSize:
    """Hold both counts: `N` without token and position embeddings and output head, `N_total` all."""

    N: float
    N_total: float


def read_model_size(folder: Path) -> ModelSize | None:
    """Count the parameters of the model whose config.json lies in a folder; None where it is absent or unknown."""
    file = folder / "config.json"
    try:
        if not file.is_file():
            return None
        return count_parameters(mapping(json_document(file)))
    except (OSError, SourceError):
        return None


def count_parameters(config: Mapping[str, Any]) -> ModelSize | None:
    """Count a config's parameters; None for a model type whose layers are not known here, which is never guessed.

    Known, and equal to the sum over the model's tensors: llama, mistral, qwen2, qwen3, olmo, olmo2, gpt_neox, gpt2.
    """
    kind = config.get("model_type")
    try:
        if kind in ("llama", "mistral", "qwen2", "qwen3", "olmo", "olmo2"):
            return _llama_like(str(kind), config)
        if kind == "gpt_neox":
            return _gpt_neox(config)
        if kind == "gpt2":
            return _gpt2(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return None


def _llama_like(kind: str, config: Mapping[str, Any]) -> ModelSize:
    h, layers, f, V = (
        _count(config, k) for k in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
    )
    heads = _count(config, "num_attention_heads")
    kv_heads = _count(config, "num_key_value_heads") if config.get("num_key_value_heads") is not None else heads
    default = 128 if kind == "qwen3" else h // heads
    head = _count(config, "head_dim") if config.get("head_dim") is not None else default
    q, kv = heads * head, kv_heads * head
    layer = 2 * h * q + 2 * h * kv + 3 * h * f
    if kind == "qwen2" or config.get("attention_bias"):
        layer += q + 2 * kv + (0 if kind == "qwen2" else h)
    if config.get("mlp_bias"):
        layer += 2 * f + h
    norms = {"olmo": 0, "olmo2": 2 * h + q + kv, "qwen3": 2 * h + 2 * head}.get(kind, 2 * h)
    N = layers * (layer + norms) + (0 if kind == "olmo" else h)
    return _with_embeddings(N, V * h, config, tied_by_default=False)


def _gpt_neox(config: Mapping[str, Any]) -> ModelSize:
    h, layers, f, V = (
        _count(config, k) for k in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
    )
    bias = 1 if config.get("attention_bias", True) else 0
    layer = 4 * h * h + bias * 4 * h + 2 * h * f + f + h + 4 * h
    return _with_embeddings(layers * layer + 2 * h, V * h, config, tied_by_default=False)


def _gpt2(config: Mapping[str, Any]) -> ModelSize:
    h, layers, V, positions = (_count(config, k) for k in ("n_embd", "n_layer", "vocab_size", "n_positions"))
    f = _count(config, "n_inner") if config.get("n_inner") is not None else 4 * h
    layer = 4 * h * h + 4 * h + 2 * h * f + f + h + 4 * h
    size = _with_embeddings(layers * layer + 2 * h, V * h, config, tied_by_default=True)
    return ModelSize(N=size.N, N_total=size.N_total + positions * h)


def _with_embeddings(N: int, table: int, config: Mapping[str, Any], *, tied_by_default: bool) -> ModelSize:
    tied = bool(config.get("tie_word_embeddings", tied_by_default))
    return ModelSize(N=float(N), N_total=float(N + table * (1 if tied else 2)))


def _count(config: Mapping[str, Any], name: str) -> int:
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise ValueError(name)
    return value
