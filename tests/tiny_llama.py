"""A Llama of a few thousand parameters, for tests."""

import torch


def tiny_llama(context=256, vocabulary=257, seed=0, width=32):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=256,
        eos_token_id=256,
    )
    return LlamaForCausalLM(config).eval()
