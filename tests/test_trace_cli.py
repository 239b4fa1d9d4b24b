"""`trace` goes from a folder of checkpoints to shares, comparisons, pictures and a study."""

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from foretell.cli.trace import trace
from foretell.corpus import ByteTokenizer
from foretell.errors import CorpusError, ForetellError, StudyError, UnknownName
from foretell.lm.checkpoint import save_model
from foretell.lm.probe import make_probe, read_probe
from foretell.table import open_study
from foretell.trajectory.probe import read_runs, refuse_trained_on
from lm_texts import built
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
    said = run(
        folder / "study", "--checkpoints", folder / "checkpoints", "--step-tokens", "1000", "--corpus", corpus.folder,
        "--probe-tokens", "600", "--sequence", "32", "--cloze", "prose", "--cloze-items", "10", "--cloze-prompt", "8",
        "--cloze-option", "6", "--texts", "6", "--width", "12", "--figure-dir", folder / "figures",
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
    assert {"share downward", "cloze_prose/acc"} <= set(told["alignments"])


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


def test_a_probe_that_was_trained_on_is_refused(made):
    _, corpus, _ = made
    title = make_probe(corpus, tokens=400, sequence=32).title
    refuse_trained_on(title, corpus)
    seen = str(corpus.train("prose").digests[0])
    with pytest.raises(StudyError, match=r"1 of the probe's .* training part of 'prose'"):
        refuse_trained_on(title.model_copy(update={"documents": (*title.documents, seen)}), corpus)
