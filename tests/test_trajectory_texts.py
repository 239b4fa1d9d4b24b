"""Texts are noised, decoded and read as the paper has it; checkpoints are found where they lie."""

import json

import numpy as np
import pytest
import torch

from foretell.errors import CorpusError, TrainError
from foretell.lm.checkpoint_folders import find_checkpoints, rung_checkpoints
from foretell.lm.cloze import make_cloze
from foretell.lm.decoding import CONFIGURATIONS, decode
from foretell.lm.noised import noised
from foretell.lm.perplexity import TextSet, held_out_texts, option_losses, text_losses
from lm_texts import built
from tiny_llama import tiny_llama

IDS = np.random.default_rng(0).integers(97, 123, (9, 24))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return built(tmp_path_factory.mktemp("corpus"))


def logprobs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.from_numpy(ids)).logits.double(), -1).numpy()


def test_each_text_is_read_alone_and_its_prompt_not_counted():
    model = tiny_llama()
    found = text_losses(model, IDS, eos=256, given=5, batch_tokens=60)
    after_eos = np.concatenate([np.full((9, 1), 256), IDS], 1)
    p = logprobs(model, after_eos[:, :-1])
    nats = -np.take_along_axis(p, IDS[:, :, None], 2)[:, 5:, 0].mean(1)
    np.testing.assert_allclose(found, nats, rtol=1e-4)
    assert TextSet("a", "b", IDS, 5).losses(model, 256) == pytest.approx(found, rel=1e-5)


def test_noise_replaces_the_share_asked_for_and_is_nested():
    sets = noised(IDS, vocabulary=257, eos=256, shares=(0.0, 0.25, 0.5, 1.0), seed=1)
    np.testing.assert_array_equal(sets[0].tokens, IDS)
    assert [text.name for text in sets] == ["0 %", "25 %", "50 %", "100 %"]
    changed = [(text.tokens != IDS) for text in sets]
    assert (changed[1].sum(1) <= 6).all()
    assert (changed[1].mean(), changed[3].mean()) == (pytest.approx(0.25, abs=0.02), pytest.approx(1.0, abs=0.05))
    assert (sets[1].tokens[changed[1]] == sets[3].tokens[changed[1]]).all()
    assert all((text.tokens != 256).all() for text in sets)
    again = noised(IDS, vocabulary=257, eos=256, shares=(0.25,), seed=1)[0]
    np.testing.assert_array_equal(again.tokens, sets[1].tokens)
    with pytest.raises(CorpusError, match="between 0 and 1"):
        noised(IDS, vocabulary=257, eos=256, shares=(20.0,))


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_greedy_text_maximises_the_combination_at_every_step(name):
    small, large = tiny_llama(seed=1), tiny_llama(seed=2, width=48)
    one, two = CONFIGURATIONS[name]
    made = decode(small, large, IDS[:, :5], (one, two), eos=256, vocabulary=250, tokens=6)
    assert made.shape == (9, 11)
    np.testing.assert_array_equal(made[:, :5], IDS[:, :5])
    read = np.concatenate([np.full((9, 1), 256), made], 1)
    p = np.exp(logprobs(small, read)), np.exp(logprobs(large, read))
    for at in range(5, 11):
        combined = np.maximum(one * p[0][:, at, :250] + two * p[1][:, at, :250], 0)
        chosen = np.take_along_axis(combined, made[:, at : at + 1], 1)[:, 0]
        np.testing.assert_allclose(chosen, combined.max(1), rtol=1e-4)


def test_a_nucleus_keeps_the_likeliest_tokens_in_their_proportions():
    model = tiny_llama(seed=3)
    prompts = np.tile(IDS[:1, :5], (3000, 1))
    made = decode(model, model, prompts, (1, 0), eos=256, vocabulary=256, tokens=1, nucleus=0.6)[:, 5]
    p = np.exp(logprobs(model, np.concatenate([[[256]], IDS[:1, :5]], 1))[0, -1, :256])
    p /= p.sum()
    order = np.argsort(-p)
    kept = order[: int(np.searchsorted(np.cumsum(p[order]), 0.6)) + 1]
    assert set(made) <= set(kept.tolist())
    share = p[kept] / p[kept].sum()
    found = np.array([(made == token).mean() for token in kept])
    assert np.abs(found - share).max() < 4 * 0.5 / np.sqrt(3000)
    again = decode(model, model, prompts, (1, 0), eos=256, vocabulary=256, tokens=1, nucleus=0.6)[:, 5]
    np.testing.assert_array_equal(made, again)


def test_two_models_that_agree_leave_the_choice_to_the_one_that_counts_for():
    model = tiny_llama(seed=4)
    same = decode(model, model, IDS[:, :5], (1, -1), eos=256, vocabulary=256, tokens=4)
    np.testing.assert_array_equal(same, decode(model, model, IDS[:, :5], (1, 0), eos=256, vocabulary=256, tokens=4))


def test_models_over_other_vocabularies_are_not_combined():
    with pytest.raises(TrainError, match="only over one tokenizer"):
        decode(tiny_llama(), tiny_llama(vocabulary=300), IDS[:, :5], (1, 1), eos=256, vocabulary=256)
    with pytest.raises(TrainError, match="windows of 55 tokens"):
        decode(tiny_llama(context=40), tiny_llama(), IDS[:, :5], (1, 1), eos=256, vocabulary=256)


def test_texts_come_evenly_from_held_out_documents(corpus):
    made = held_out_texts(corpus, corpus.sources, count=7, width=12)
    assert made.shape == (7, 12)
    firsts = {tuple(document[:12].tolist()) for name in corpus.sources for document in corpus.held_out(name)}
    assert all(tuple(row) in firsts for row in made.tolist())
    with pytest.raises(CorpusError, match="ask for fewer"):
        held_out_texts(corpus, ["prose"], count=1000, width=12)


def test_wrong_options_are_averaged_and_the_right_one_left_out(corpus):
    model = tiny_llama()
    task = make_cloze(corpus, "prose", items=6, prompt_tokens=8, option_tokens=6)
    scores = task.score(model)
    found = option_losses(scores)
    for at, gold in enumerate(scores.gold):
        nats = -scores.logprob[at] / 6
        assert found["right"][at] == pytest.approx(nats[gold])
        assert found["wrong"][at] == pytest.approx(np.delete(nats, gold).mean())


def lay(folder, state=None):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    if state is not None:
        (folder / "training_state.json").write_text(json.dumps(state))


def test_checkpoints_are_told_by_their_state_or_by_their_folders(tmp_path):
    lay(tmp_path / "a" / "step200")
    lay(tmp_path / "a" / "checkpoint-100")
    lay(tmp_path / "b", {"run": "big", "step": 7, "tokens": 5e9})
    found = find_checkpoints(tmp_path, step_tokens=10)
    assert [(one.run, one.D, one.step) for one in found] == [("a", 1000, 100), ("a", 2000, 200), ("big", 5e9, 7)]
    with pytest.raises(TrainError, match="--step-tokens"):
        find_checkpoints(tmp_path)
    with pytest.raises(TrainError, match="no checkpoint lies below"):
        find_checkpoints(tmp_path / "a" / "nothing")
    lay(tmp_path / "c", {"run": "a", "D": 1000})
    with pytest.raises(TrainError, match="name runs apart"):
        find_checkpoints(tmp_path, step_tokens=10)


def test_the_finished_models_of_a_ladder_are_found(tmp_path):
    lay(tmp_path / "rungs" / "1M" / "models" / "1M-2B")
    measured = tmp_path / "rungs" / "1M" / "measured"
    measured.mkdir()
    for step, end in ((10, False), (20, True)):
        (measured / f"1M-2B@{step:09d}.json").write_text(json.dumps({"D": step * 4096, "step": step, "end": end}))
    assert [(one.run, one.D, one.step) for one in rung_checkpoints(tmp_path)] == [("1M-2B", 81920.0, 20)]
    assert rung_checkpoints(tmp_path / "nothing") == []
