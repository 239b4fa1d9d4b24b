"""`trace` goes from a folder of checkpoints to shares, comparisons, pictures and a study."""

import json
import shutil

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from foretell.cli.trace import trace
from foretell.corpus import ByteTokenizer, Texts, build_corpus
from foretell.errors import CorpusError, ForetellError, StudyError, UnknownName
from foretell.lm.checkpoint import save_model
from foretell.lm.probe import make_probe, read_probe
from foretell.table import open_study
from foretell.trajectory.probe import read_runs, refuse_trained_on
from lm_texts import asked, built, request_file
from tiny_llama import tiny_llama

app = typer.Typer()
app.command()(trace)


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace")
    corpus = built(folder)
    for seed, (name, width) in enumerate((("small", 16), ("large", 32))):
        model = tiny_llama(width=width, seed=seed, context=64)
        toward = [torch.zeros_like(p) for p in model.parameters()]
        for step in range(1, 10):  # shrinking weights draw the losses towards those of a uniform guess
            place = folder / "checkpoints" / name / f"step{step}"
            place.mkdir(parents=True)
            with torch.no_grad():
                for p, aim in zip(model.parameters(), toward, strict=True):
                    p.lerp_(aim, 0.2 if p.ndim > 1 else 0.0)
            save_model(place, model)
            ByteTokenizer().save(place)
    request_file(folder / "requests", "quiz/rc_0shot", asked())
    said = run(
        folder / "study", "--checkpoints", folder / "checkpoints", "--step-tokens", "1000", "--corpus", corpus.folder,
        "--probe-tokens", "600", "--sequence", "32", "--cloze", "prose", "--cloze-items", "10", "--cloze-prompt", "8",
        "--cloze-option", "6", "--task", "quiz", "--requests", folder / "requests", "--texts", "6", "--width", "12", "--figure-dir", folder / "figures",
        "-o", folder / "out", "--json",
    )  # fmt: skip
    return folder, corpus, json.loads(said)


def test_every_checkpoint_is_measured_and_every_token_classified(made):
    folder, _, told = made
    assert told["tokens"] == 600
    assert [(one["rung"], len(one["D"])) for one in told["trajectories"]] == [("small", 9), ("large", 9)]
    for one in told["trajectories"]:
        for shares in one["starts"]:
            assert sum(v for k, v in shares.items() if k != "start") == pytest.approx(1.0)
    assert told["loss"] == "validation/loss"
    assert {"noised", "options", "decoded, greedy", "decoded, nucleus"} == {one["kind"] for one in told["texts"]}
    assert len(read_probe(folder / "study" / "tokens" / "probe").measured) == 18
    assert {"share downward", "cloze_prose/acc", "quiz/acc", "quiz/margin"} <= set(told["alignments"])


def test_right_and_wrong_options_of_every_task_are_read_at_every_checkpoint(made):
    _, _, told = made
    read = {(one["name"], one["rung"]): one for one in told["texts"] if one["kind"] == "options"}
    for task in ("cloze_prose", "quiz"):
        for option in ("right", "wrong"):
            for rung in ("small", "large"):
                assert len(read[f"{task} {option}", rung]["loss"]) == 9
    for one in told["option_gaps"]:
        right, wrong = (read[f"{one['task']} {option}", one["rung"]]["loss"] for option in ("right", "wrong"))
        assert one["gap"] == pytest.approx(np.subtract(wrong, right))
    assert {(one["task"], one["rung"]) for one in told["option_gaps"]} == {
        (task, rung) for task in ("cloze_prose", "quiz") for rung in ("small", "large")
    }
    for one in told["texts"]:
        assert (one["at"] is None) == (one["trend"] in ("falls", "too few"))
        assert one["at"] is None or one["at"] in one["D"]


def test_every_share_of_noise_and_every_combination_of_two_models_is_read(made):
    _, _, told = made
    noised = {one["name"]: one for one in told["texts"] if one["kind"] == "noised" and one["rung"] == "small"}
    assert list(noised) == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    decoded = {one["name"] for one in told["texts"] if one["kind"] == "decoded, nucleus"}
    assert decoded == {"small − large", "small", "small + large", "large", "large − small"}


def test_the_summaries_are_observations_of_the_study_written(made):
    folder, _, told = made
    table = open_study(folder / "out")
    assert {"tokens/q10", "tokens/mean", "tokens/upward", "tokens/stagnated"} <= set(table.metrics)
    assert not any(metric.is_loss for name, metric in table.metrics.items() if name.startswith("tokens/"))
    first = told["trajectories"][0]
    start = first["starts"][0]
    rows = table.values.filter((table.values["metric"] == "tokens/downward") & (table.values["run"] == "small"))
    assert start["downward"] in rows["value"].to_list()
    assert "tokens/q10" not in open_study(folder / "study").metrics


def test_every_question_has_its_picture(made):
    folder, _, _ = made
    drawn = {path.name for path in (folder / "figures").iterdir()}
    expected = {"categories", "shares", "aligned", "tasks", "noised", "options", "decoded"}
    assert drawn == {f"{name}.png" for name in expected}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "figures").iterdir())


def test_words_say_the_same_again(made):
    folder, _, told = made
    said = run(folder / "study", "--texts", "0", "--start", "30")
    assert "trends from 30 % of training on" in said
    assert "cloze_prose/acc against perplexity" in said
    assert "quiz/acc against perplexity" in said
    again = run(folder / "study", "--texts", "0", "--json")
    assert json.loads(again)["trajectories"] == told["trajectories"]


def test_what_cannot_be_traced_is_refused(made, tmp_path):
    folder, corpus, _ = made
    study = folder / "study"
    with pytest.raises(StudyError, match="start at"):
        run(study, "--start", "90")
    with pytest.raises(UnknownName, match="probe"):
        run(study, "--probe", "prob")
    with pytest.raises(CorpusError, match="give --corpus"):
        run(study, "--checkpoints", folder / "checkpoints")
    with pytest.raises(ForetellError, match="cannot be written"):
        run(study, "--figure-dir", study / "study.toml", "--texts", "0")
    (tmp_path / "other").mkdir()
    with pytest.raises(StudyError, match="holds no probe"):
        read_runs(tmp_path, "probe", open_study(study))
    other = folder / "study" / "tokens" / "probe"
    assert read_runs(study, "probe", open_study(study), corpus)[1] == ()
    path = next((other / "losses").glob("small@3.npy"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(StudyError, match="cut short"):
        run(study)
    path.write_bytes(whole)


def altered(made, place, change):
    """Copy the study, and change it."""
    study = place / "study"
    shutil.copytree(made[0] / "study", study)
    change(study / "tokens" / "probe" / "losses")
    return study


def test_token_losses_that_are_no_numbers_are_refused_by_their_file(made, tmp_path):
    def spoil(losses):
        values = np.load(losses / "large@4.npy")
        values[17] = np.nan
        np.save(losses / "large@4.npy", values)

    with pytest.raises(StudyError, match=r"large@4\.npy holds losses that are no numbers"):
        run(altered(made, tmp_path, spoil))


def test_fewer_checkpoints_than_the_rule_needs_are_refused(made, tmp_path):
    def thin(losses):
        for path in losses.iterdir():
            if int(path.stem.split("@")[1]) > 2:
                path.unlink()

    with pytest.raises(StudyError, match="no run has the 3 checkpoints"):
        run(altered(made, tmp_path, thin))


def test_losses_of_another_probe_are_refused(made, tmp_path):
    folder, corpus, _ = made

    def swap(losses):
        title = json.loads((losses / "small@2.json").read_text())
        (losses / "small@2.json").write_text(json.dumps({**title, "probe": "0" * 64}))

    with pytest.raises(StudyError, match=r"small@2\.json was measured on another probe"):
        run(altered(made, tmp_path, swap))
    more = ("--checkpoints", folder / "checkpoints", "--step-tokens", "1000", "--corpus", corpus.folder)
    with pytest.raises(StudyError, match="holds other tokens"):
        run(folder / "study", *more, "--probe-tokens", "300", "--sequence", "32")


def test_checkpoints_with_another_tokenizer_are_refused_before_any_is_measured(made, tmp_path, monkeypatch):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder, corpus, _ = made
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    last = tmp_path / "checkpoints" / "small" / "step9"
    for path in last.glob("tokenizer*"):
        path.unlink()
    (last / "foretell_tokenizer.json").unlink(missing_ok=True)
    words = Tokenizer(WordLevel({"a": 0, "<|endoftext|>": 1}, unk_token="a"))
    words.save(str(last / "tokenizer.json"))
    monkeypatch.setattr("foretell.lm.task_checkpoint.load_checkpoint", lambda *_, **__: pytest.fail("was measured"))
    more = ("--checkpoints", tmp_path / "checkpoints", "--step-tokens", "1000", "--corpus", corpus.folder)
    with pytest.raises(CorpusError, match="step9 has another tokenizer than the corpus"):
        run(tmp_path / "new", *more, "--probe-tokens", "600", "--sequence", "32")
    assert not (tmp_path / "new").exists()


def test_a_study_whose_probe_a_corpus_trained_on_is_refused(made, tmp_path):
    folder, _, _ = made
    sources = {name: Texts(str(folder / name)) for name in ("prose", "notes")}
    other = build_corpus(sources, tmp_path / "other", held_out=0.02)
    with pytest.raises(StudyError, match=r"of the probe's .* documents are in the training part"):
        run(folder / "study", "--corpus", other.folder)


def test_a_probe_that_was_trained_on_is_refused(made):
    _, corpus, _ = made
    title = make_probe(corpus, tokens=400, sequence=32).title
    refuse_trained_on(title, corpus)
    seen = str(corpus.train("prose").digests[0])
    with pytest.raises(StudyError, match=r"1 of the probe's .* training part of 'prose'"):
        refuse_trained_on(title.model_copy(update={"documents": (*title.documents, seen)}), corpus)
