"""A checkpoint folder in the format of Hugging Face, loaded to be evaluated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.corpus.tokenizer import TOKENS_FILE, ByteTokenizer, Tokenizer, read_tokenizer
from foretell.errors import CorpusError, TrainError

STATE = "training_state.json"  # what training writes beside the weights: run, step and tokens seen


@dataclass(frozen=True)
class Checkpoint:
    """Hold a causal model in eval mode with its tokenizer.

    `N` counts parameters without token embedding and output head, `N_total` all, each tied matrix once. `begin` is what
    the tokenizer puts before every text. `run`, `step` and `D` (training tokens) are what training recorded, else None.
    """

    folder: Path
    model: Any
    tokenizer: Tokenizer
    begin: tuple[int, ...]
    N: int
    N_total: int
    run: str | None = None
    step: int | None = None
    D: float | None = None

    @property
    def context(self) -> int:
        """Give the longest window that the model reads, in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 30)


def load_checkpoint(folder: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Load config.json, safetensors and tokenizer of a folder; weights are read as float32, code in it is never run.

    Raises TrainError when the folder is no checkpoint, a file was cut short, weights are missing, or the device does
    not exist; CorpusError when there is no tokenizer.
    """
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise TrainError(f"{place} is no checkpoint: it has no config.json; give a folder that transformers can load")
    tokenizer = read_tokenizer(place)
    state = _state(place)
    model = _model(place, device)
    N_total = sum(weight.numel() for weight in model.parameters())
    ends = {id(w): w.numel() for w in (_weight(model.get_input_embeddings()), _weight(model.get_output_embeddings()))}
    highest = tokenizer.vocabulary - 1 if isinstance(tokenizer, ByteTokenizer) else tokenizer.eos
    if highest >= model.config.vocab_size:
        raise CorpusError(
            f"the tokenizer in {place} has token {highest}, the model {model.config.vocab_size} tokens; it is another's"
        )
    return Checkpoint(
        folder=place,
        model=model,
        tokenizer=tokenizer,
        begin=_begin(place),
        N=N_total - sum(ends.values()),
        N_total=N_total,
        run=state.get("run"),
        step=state.get("step"),
        D=state.get("D"),
    )


def _weight(module: Any) -> Any:
    if module is None:
        raise TrainError("the model has no token embedding or output head; only causal language models are evaluated")
    return module.weight


def _model(place: Path, device: str) -> Any:
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import AutoModelForCausalLM

    files = sorted(place.glob("*.safetensors"))
    if not files:
        raise TrainError(
            f"{place} has no safetensors; save the model with `save_pretrained(…, safe_serialization=True)`"
        )
    for file in files:
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise TrainError(
                f"{file} cannot be read: {error}; it was cut short or damaged: copy it again, or take another "
                "checkpoint"
            ) from None
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            place, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        model = model.to(torch.device(device)).eval()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise TrainError(
            f"the checkpoint {place} cannot be loaded on {device!r}: {str(error).splitlines()[0]}"
        ) from None
    if absent := sorted({*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])}):
        raise TrainError(
            f"the checkpoint {place} lacks {len(absent)} of the model's weights (first: {absent[0]}); they would be "
            "random: copy all its files"
        )
    return model


def _begin(place: Path) -> tuple[int, ...]:
    """Give the token that a tokenizer.json puts before a text, for models that were trained so."""
    if not (place / TOKENS_FILE).is_file() or isinstance(read_tokenizer(place), ByteTokenizer):
        return ()
    from tokenizers import Tokenizer as Rust

    around = Rust.from_file(str(place / TOKENS_FILE)).encode("", add_special_tokens=True).ids
    return tuple(around[:1])


def _state(place: Path) -> dict[str, Any]:
    """Read what training recorded, if anything."""
    if not (place / STATE).is_file():
        return {}
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"{place / STATE} cannot be read: {error}; remove it and give -D") from None
    if not isinstance(state, dict):
        raise TrainError(f"{place / STATE} holds {type(state).__name__}, not an object; remove it and give -D")
    return {
        "run": next((str(state[name]) for name in ("run", "name") if name in state), None),
        "step": int(state["step"]) if "step" in state else None,
        "D": next((float(state[name]) for name in ("D", "tokens") if name in state), None),
    }
