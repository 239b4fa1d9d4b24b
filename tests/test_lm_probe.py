"""Every token's loss is measured once, belongs to its document, and is kept whole."""

import json
import math

import numpy as np
import pytest
import torch

from foretell.corpus import ByteTokenizer, Documents
from foretell.errors import CorpusError, StudyError, TrainError, UnknownName
from foretell.lm.probe import make_probe, read_probe, write_losses, write_probe
from foretell.lm.validation import ratio, token_losses, validation_loss
from lm_texts import built, documents, texts
from tiny_llama import tiny_llama

BYTES = ByteTokenizer()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return built(tmp_path_factory.mktemp("corpus"))


# -- validation loss ---------------------------------------------------------------------------------------------------


def test_each_token_is_predicted_once_from_what_precedes_it_in_its_window():
    model, held = tiny_llama(), documents(*texts())
    found = token_losses(model, held.tokens, eos=256, sequence=16, batch=3)
    stream = [256, *held.tokens.tolist()]
    for start in range(0, len(held.tokens), 16):
        ids = torch.tensor([stream[start : start + 17]])
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids[:, :-1]).logits[0].double(), -1)
        wanted = -logprobs.gather(1, ids[0, 1:, None])[:, 0].numpy()
        np.testing.assert_allclose(found[start : start + 16], wanted, rtol=1e-4)


def test_losses_belong_to_their_documents_and_the_batch_does_not_matter():
    model, held = tiny_llama(), documents(*texts())
    losses = token_losses(model, held.tokens, eos=256, sequence=16)
    nats = [losses[a:b].sum(dtype=np.float64) for a, b in zip(held.offsets, held.offsets[1:], strict=False)]
    for batch in (1, 5, 64):
        loss = validation_loss(model, held, sequence=16, batch=batch)
        assert (loss.tokens, loss.documents) == (len(held.tokens), 9)
        assert loss.nats_per_token == pytest.approx(sum(nats) / len(held.tokens), rel=1e-6)
        assert loss.bits_per_byte == pytest.approx(sum(nats) / math.log(2) / held.bytes.sum(), rel=1e-6)
        assert loss.stderr == pytest.approx(ratio(np.array(nats), held.lengths)[1], rel=1e-5)


def test_the_standard_error_of_a_ratio_covers_documents_of_unequal_length():
    rng = np.random.default_rng(0)
    true, inside = 2.5, 0
    for _ in range(400):
        sizes = rng.integers(5, 400, 60)
        level = true + rng.normal(0, 0.3, 60)  # documents differ as wholes: tokens are not independent
        value, error = ratio(sizes * level + rng.normal(0, np.sqrt(sizes)), sizes)
        inside += abs(value - true) < 1.6449 * error
    assert 0.85 < inside / 400 < 0.94  # 90 % asked; binomial error 1.5 points, and 60 documents are not many


def test_one_document_has_no_standard_error():
    assert math.isnan(validation_loss(tiny_llama(), documents("alone"), sequence=8).stderr)


def test_no_more_tokens_are_read_than_asked():
    held = documents("a" * 9, "b" * 9, "c" * 9)
    assert validation_loss(tiny_llama(), held, sequence=8, most_tokens=29).documents == 2
    assert validation_loss(tiny_llama(), held, sequence=8, most_tokens=30).documents == 3
    assert validation_loss(tiny_llama(), held, sequence=8, most_tokens=3).documents == 1


def test_what_cannot_be_measured_is_refused():
    model = tiny_llama(context=32, vocabulary=257)
    held = documents(*texts())
    with pytest.raises(TrainError, match="windows of 33 tokens"):
        validation_loss(model, held, sequence=33)
    with pytest.raises(TrainError, match="token 256, the model knows 200"):
        validation_loss(tiny_llama(vocabulary=200), held, sequence=8)
    with pytest.raises(CorpusError, match="no held-out document"):
        validation_loss(
            model, Documents(held.tokens[:0], held.offsets[:1], held.bytes[:0], held.digests[:0]), sequence=8
        )
    with torch.no_grad():
        model.model.embed_tokens.weight[ord("e")] = math.nan
    with pytest.raises(TrainError, match="loss on token"):
        validation_loss(model, held, sequence=8)


# -- probe -------------------------------------------------------------------------------------------------------------


def probed(corpus, study, **given):
    probe = make_probe(corpus, "prose", **{"tokens": 500, "sequence": 32, **given})
    return probe, write_probe(study, "prose", probe)


def test_a_probe_keeps_the_loss_of_every_token_at_every_checkpoint(corpus, tmp_path):
    probe, folder = probed(corpus, tmp_path)
    assert sum(probe.title.lengths) == probe.title.tokens == 500
    for step, seed in ((20, 2), (3, 1)):
        write_losses(folder, probe, "a run/of mine", step, step * 1e3, probe.losses(tiny_llama(seed=seed)))
    back = read_probe(folder, tokenizer=BYTES.digest)
    assert back.runs == ["a run/of mine"]
    assert back.D("a run/of mine").tolist() == [3e3, 2e4]
    assert back.steps("a run/of mine").tolist() == [3, 20]
    for seed, values in zip((1, 2), back.losses("a run/of mine"), strict=True):
        assert isinstance(values, np.memmap)
        assert values.dtype == np.float16
        np.testing.assert_allclose(values, probe.losses(tiny_llama(seed=seed)), rtol=1e-3)
    assert back.tokens.tolist() == corpus.held_out("prose").tokens[:500].tolist()
    assert not list(tmp_path.rglob("*.part"))


def test_a_probe_of_every_source_takes_evenly(corpus):
    probe = make_probe(corpus, tokens=400, sequence=32)
    assert probe.title.sources == ("notes", "prose")
    assert probe.tokens[:200].tolist() == corpus.held_out("notes").tokens[:200].tolist()
    assert probe.tokens[200:].tolist() == corpus.held_out("prose").tokens[:200].tolist()
    with pytest.raises(CorpusError, match="a probe asks for"):
        make_probe(corpus, tokens=10**7)


def test_losses_cut_short_lost_or_not_numbers_are_told_by_name(corpus, tmp_path):
    probe, folder = probed(corpus, tmp_path)
    losses = probe.losses(tiny_llama())
    path = write_losses(folder, probe, "a", 1, 1e3, losses)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(StudyError, match=r"a@1\.npy cannot be read"):
        list(read_probe(folder).losses("a"))
    spoilt = losses.astype(np.float16)
    spoilt[7] = np.nan
    np.save(path, spoilt)
    with pytest.raises(StudyError, match=r"a@1\.npy holds losses that are no numbers"):
        list(read_probe(folder).losses("a"))
    path.unlink()
    with pytest.raises(StudyError, match=r"a@1\.npy is missing"):
        read_probe(folder)
    write_losses(folder, probe, "a", 1, 1e3, losses)
    again = read_probe(folder)
    with pytest.raises(UnknownName, match="run with losses"):
        list(again.losses("b"))
    losses[3] = np.nan
    with pytest.raises(TrainError, match="'b' has losses at D = 2000"):
        write_losses(folder, probe, "b", 2, 2e3, losses)
    with pytest.raises(TrainError, match="500 tokens"):
        write_losses(folder, probe, "b", 2, 2e3, losses[:9])


def test_another_probe_or_tokenizer_is_refused(corpus, tmp_path):
    _, folder = probed(corpus, tmp_path)
    assert probed(corpus, tmp_path)[1] == folder
    other = make_probe(corpus, "prose", tokens=400, sequence=32)
    with pytest.raises(StudyError, match="holds other tokens"):
        write_probe(tmp_path, "prose", other)
    with pytest.raises(StudyError, match="holds other tokens"):
        write_losses(folder, other, "a", 1, 1e3, np.ones(400))
    with pytest.raises(StudyError, match="another tokenizer"):
        read_probe(folder, tokenizer="f" * 64)
    tokens = np.load(folder / "tokens.npy")
    tokens[0] ^= 1
    np.save(folder / "tokens.npy", tokens)
    with pytest.raises(StudyError, match="not those that"):
        read_probe(folder)
    with pytest.raises(StudyError, match="no probe at"):
        read_probe(tmp_path / "elsewhere")


def test_losses_of_another_probe_laid_into_the_folder_are_refused(corpus, tmp_path):
    probe, folder = probed(corpus, tmp_path)
    path = write_losses(folder, probe, "a", 1, 1e3, probe.losses(tiny_llama()))
    title = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**title, "probe": "0" * 64}))
    with pytest.raises(StudyError, match="measured on another probe"):
        read_probe(folder)
