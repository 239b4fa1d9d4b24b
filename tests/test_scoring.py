"""The likeliest option is found as the harness finds it, whatever the batches and the order."""

import dataclasses
import math
import random

import numpy as np
import pytest
import torch

from foretell.corpus import ByteTokenizer
from foretell.errors import TrainError
from foretell.lm.scoring import RankedItem, encode_item, score, score_encoded
from foretell.lm.task_logprobs import option_logprobs
from tiny_llama import tiny_llama

BYTES = ByteTokenizer()


class Pairs(ByteTokenizer):
    """Reads two bytes as one token, so that where a text is cut changes its tokens."""

    def encode(self, text):
        raw = text.encode()
        return [min(sum(raw[at : at + 2]), 255) for at in range(0, len(raw), 2)]


def items(count=12, seed=0):
    rng = random.Random(seed)
    words = ["sun", "a moon", "the third planet", "ice", "Ωmega", "long and winding"]
    return [
        RankedItem(
            f"q{i}",
            f"Question: {'why ' * rng.randint(0, 6)}{rng.choice(words)}?\nAnswer:",
            tuple(f" {word}" for word in rng.sample(words, rng.randint(2, 5))),
            rng.randint(0, 1),
        )
        for i in range(count)
    ]


def plainly(model, encoded, longest=None):
    """Score each option alone, with nothing shared or padded."""
    found = []
    for item in encoded:
        of_item = []
        for option in item.options:
            ids = (*item.prompt, *option)
            ids = ids[-(longest + 1) :] if longest else ids
            with torch.no_grad():
                logprobs = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits[0].double(), -1)
            at = torch.arange(len(ids) - 1 - len(option), len(ids) - 1)
            of_item.append(float(logprobs[at, torch.tensor(option)].sum()))
        found.append(of_item)
    return found


@pytest.mark.parametrize("batch_tokens", [1, 300, 10_000])
def test_shared_prompts_and_batches_change_no_logprob(batch_tokens):
    model = tiny_llama()
    encoded = [encode_item(BYTES, item) for item in items()]
    found, cut = option_logprobs(model, encoded, batch_tokens=batch_tokens)
    assert cut == []
    for mine, plain in zip(found, plainly(model, encoded), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5)


def test_a_model_whose_cache_slides_is_scored_without_sharing():
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=257, max_position_embeddings=256, sliding_window=8,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MistralForCausalLM(config).eval()
    encoded = [encode_item(BYTES, item) for item in items(4)]
    for mine, plain in zip(option_logprobs(model, encoded, batch_tokens=500)[0], plainly(model, encoded), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5)


def test_long_prompts_lose_their_beginning_and_are_named():
    model = tiny_llama(context=48)
    asked = [*items(3), RankedItem("short", "x", (" a", " bc"), 0)]
    scores = score(model, BYTES, asked)
    encoded = [encode_item(BYTES, item) for item in asked]
    wide = [len(item.prompt) + max(map(len, item.options)) - 1 > 48 for item in encoded]
    assert scores.truncated == tuple(item.id for item, cut in zip(asked, wide, strict=True) if cut)
    assert 0 < len(scores.truncated) < len(asked)
    for mine, plain in zip(scores.logprob, plainly(model, encoded, 48), strict=True):
        np.testing.assert_allclose(mine[: len(plain)], plain, rtol=1e-5)


def test_the_order_of_items_does_not_matter():
    model = tiny_llama()
    forth, back = items(), items()[::-1]
    a, b = score(model, BYTES, forth), score(model, BYTES, back)
    assert a.ids == b.ids[::-1]
    np.testing.assert_allclose(a.logprob, b.logprob[::-1], rtol=1e-5)
    assert a.mean(a.outcomes()) == pytest.approx(b.mean(b.outcomes()))


def test_spaces_that_end_a_prompt_move_to_the_options():
    spaced = encode_item(BYTES, RankedItem("q", "Answer:  ", ("yes", "no"), 0))
    assert BYTES.decode(spaced.prompt) == "Answer:"
    assert [BYTES.decode(option) for option in spaced.options] == ["  yes", "  no"]
    assert spaced.characters == (3, 2)


def test_prompt_and_option_are_encoded_together_then_split():
    item = encode_item(Pairs(), RankedItem("q", "abc", ("de", " f"), 0))
    whole = Pairs().encode("abcde")
    assert item.prompt == tuple(Pairs().encode("abc"))
    assert item.options[0] == tuple(whole[len(item.prompt) :])


def test_an_empty_prompt_is_the_end_of_a_document():
    assert encode_item(BYTES, RankedItem("q", "", ("a", "b"), 0)).prompt == (BYTES.eos,)
    assert encode_item(BYTES, RankedItem("q", "", ("a", "b"), 0), begin=(7,)).prompt == (7,)
    assert encode_item(BYTES, RankedItem("q", "x", ("a", "b"), 0), begin=(7,)).prompt == (7, ord("x"))


def made(logprob, gold, lengths=None):
    scores = score(
        tiny_llama(), BYTES, [RankedItem(f"q{i}", "p", (" ab", " cd", " ef"), g) for i, g in enumerate(gold)]
    )
    logprob = np.array(logprob, float)
    lengths = np.ones_like(logprob) if lengths is None else np.array(lengths, float)
    return dataclasses.replace(scores, logprob=logprob, characters=lengths, bytes=2 * lengths, tokens=lengths)


def test_normalised_and_raw_predictions_differ_where_lengths_do():
    scores = made([[-4, -6, -9]], [1], [[2, 6, 6]])
    assert scores.predictions("none").tolist() == [0]
    assert scores.predictions().tolist() == [1]
    assert scores.outcomes().tolist() == [True]


def test_equal_options_leave_log_k_of_soft_loss_and_no_margin():
    scores = made([[-3, -3, -3]], [2])
    assert scores.soft_losses() == pytest.approx([math.log(3)])
    assert scores.margins() == pytest.approx([0])
    assert scores.chance == pytest.approx(1 / 3)


def test_absent_options_count_for_nothing():
    scores = made([[-1, -2, -np.inf]], [0])
    assert scores.chance == 0.5
    assert scores.soft_losses() == pytest.approx([math.log(1 + math.exp(-1))])
    assert scores.margins() == pytest.approx([1])


def test_bits_per_byte_are_those_of_the_right_option():
    assert made([[-1, -8, -9]], [1]).bits_per_byte() == pytest.approx([8 / 2 / math.log(2)])


def test_items_of_one_text_widen_the_standard_error():
    scores = made([[0, -1, -1]] * 2 + [[-1, 0, -1]] * 2, [0] * 4)
    assert scores.mean(scores.outcomes()) == pytest.approx((0.5, math.sqrt(4 / 3) / 4))
    paired = dataclasses.replace(scores, groups=("x", "x", "y", "y"))
    assert paired.mean(paired.outcomes()) == pytest.approx((0.5, math.sqrt(2 * 2) / 4))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], "no items"),
        ([RankedItem("a", "p", ("x", "y"), 0)] * 2, "2 items are called 'a'"),
        ([RankedItem("a", "p", ("x", ""), 0)], "empty option"),
        ([RankedItem("a", "p", ("x", "y" * 300), 0)], "has 300 tokens"),
    ],
)
def test_items_that_cannot_be_scored_are_refused(asked, words):
    with pytest.raises(TrainError, match=words):
        score(tiny_llama(), BYTES, asked)


def test_a_question_needs_two_options_and_a_right_one():
    with pytest.raises(TrainError, match="1 options"):
        RankedItem("a", "p", ("x",), 0)
    with pytest.raises(TrainError, match="option 2 of 2"):
        RankedItem("a", "p", ("x", "y"), 2)


def test_a_diverged_model_is_named_not_scored():
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    with pytest.raises(TrainError, match="no finite log-probability"):
        score(model, BYTES, items(2))


def test_tokens_of_another_tokenizer_are_refused():
    encoded = encode_item(BYTES, RankedItem("q", "p", (" a", " b"), 0))
    with pytest.raises(TrainError, match="another tokenizer"):
        score_encoded(tiny_llama(), [dataclasses.replace(encoded, options=((1, 900), (2,)))])
