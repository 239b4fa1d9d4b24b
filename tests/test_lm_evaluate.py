"""A checkpoint's losses, tasks and probes land in a study, or are refused before anything is measured."""

import json
import math

import polars as pl
import pytest
from typer import Typer
from typer.testing import CliRunner

from foretell.cli.evaluate import evaluate as evaluate_verb
from foretell.corpus import ByteTokenizer
from foretell.errors import CorpusError, TableError, TrainError
from foretell.lm.cloze import make_cloze
from foretell.lm.evaluate import Questions, evaluate_checkpoint, known_study, write_evaluations
from foretell.lm.probe import make_probe, read_probe
from foretell.lm.requests import read_task
from foretell.lm.scoring import score
from foretell.lm.task_checkpoint import load_checkpoint
from foretell.lm.validation import validation_loss
from foretell.table import open_study
from foretell.table.items import open_items
from lm_texts import asked, built, documents, request_file, texts
from tiny_llama import tiny_llama

BYTES = ByteTokenizer()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return built(tmp_path_factory.mktemp("corpus"))


# -- checkpoints -------------------------------------------------------------------------------------------------------


def saved(folder, model=None, state=None, tokenizer=BYTES):
    (model or tiny_llama()).save_pretrained(folder)
    tokenizer.save(folder)
    if state:
        (folder / "training_state.json").write_text(json.dumps(state))
    return folder


def test_parameters_are_counted_from_the_weights(tmp_path):
    from transformers import LlamaForCausalLM

    tied = load_checkpoint(saved(tmp_path / "tied"))
    assert tied.N_total - tied.N == 257 * 32
    config = tiny_llama().config
    config.tie_word_embeddings = False
    untied = load_checkpoint(saved(tmp_path / "untied", LlamaForCausalLM(config)))
    assert untied.N == tied.N
    assert untied.N_total - untied.N == 2 * 257 * 32


def test_a_model_that_foretell_saved_loads(tmp_path):
    from foretell.lm.checkpoint import save_model

    model = tiny_llama()
    tmp_path.joinpath("model").mkdir()
    save_model(tmp_path / "model", model)
    BYTES.save(tmp_path / "model")
    held = documents(*texts())
    again = load_checkpoint(tmp_path / "model")
    assert validation_loss(again.model, held, sequence=16) == validation_loss(model, held, sequence=16)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    folder = saved(tmp_path / "a")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(TrainError, match=r"model\.safetensors cannot be read: .* cut short"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(TrainError, match="no safetensors"):
        load_checkpoint(folder)
    with pytest.raises(TrainError, match="no checkpoint"):
        load_checkpoint(tmp_path)


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path / "a")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match=r"lacks 1 of the model's weights \(first: model\.layers\.1\.mlp\.up_proj"):
        load_checkpoint(folder)


def test_an_unknown_device_and_another_models_tokenizer_are_refused(tmp_path):
    with pytest.raises(TrainError, match="on 'warp'"):
        load_checkpoint(saved(tmp_path / "a"), device="warp")
    with pytest.raises(CorpusError, match="it is another's"):
        load_checkpoint(saved(tmp_path / "b", tiny_llama(vocabulary=200)))


# -- evaluating into a study -------------------------------------------------------------------------------------------


def questions(corpus, tmp_path):
    request_file(tmp_path / "requests", "arc_easy/rc_0shot", asked())
    return Questions(
        corpus=corpus,
        tasks=(read_task("arc_easy", tmp_path / "requests"),),
        cloze=(make_cloze(corpus, "prose", items=8, prompt_tokens=12, option_tokens=6),),
        probe=("prose", make_probe(corpus, "prose", tokens=300, sequence=32)),
        sequence=32,
    )


def test_an_evaluation_fills_a_study_and_doing_it_again_changes_nothing(corpus, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path / "small", state={"run": "small-1x", "step": 7, "D": 7e6}))
    wanted = questions(corpus, tmp_path)
    study = tmp_path / "study"
    made = evaluate_checkpoint(checkpoint, wanted)
    write_evaluations([made], study)
    back = open_study(study)
    metrics = {"notes/loss", "notes/bpb", "prose/loss", "prose/bpb"} | {
        f"{task}/{what}"
        for task in ("arc_easy", "cloze_prose")
        for what in ("acc", "acc_raw", "bpb", "soft_loss", "margin")
    }
    assert set(back.metrics) == metrics
    assert back.metrics["cloze_prose/acc"].chance == 0.25
    row = back.values.row(by_predicate=pl.col("metric") == "prose/loss", named=True)
    direct = validation_loss(checkpoint.model, corpus.held_out("prose"), sequence=32)
    assert (row["value"], row["stderr"], row["D"], row["step"]) == (direct.nats_per_token, direct.stderr, 7e6, 7)
    (run,) = back.runs.rows(named=True)
    assert (run["name"], run["N"], run["N_total"]) == ("small-1x", checkpoint.N, checkpoint.N_total)

    items = open_items(study)
    assert items.doubts(back) == []
    assert items.grid("arc_easy/acc").successes.shape == (6, 1)
    scores = score(checkpoint.model, BYTES, wanted.tasks[0].items)
    grid = items.grid("arc_easy/acc")
    assert dict(zip(grid.item, grid.successes[:, 0], strict=True)) == dict(
        zip(scores.ids, scores.outcomes(), strict=True)
    )
    probe = read_probe(study / "tokens" / "prose")
    assert probe.D("small-1x").tolist() == [7e6]

    files = {path: path.read_bytes() for path in study.rglob("*") if path.suffix in (".npy", ".toml")}
    write_evaluations([evaluate_checkpoint(checkpoint, wanted, known=known_study(study))], study)
    assert open_study(study).values.equals(back.values)
    assert all(path.read_bytes() == before for path, before in files.items())


def test_checkpoints_of_one_run_share_its_end(corpus, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path / "a"))
    wanted = Questions(corpus=corpus, sources=("prose",), sequence=32)
    made = [evaluate_checkpoint(checkpoint, wanted, name="a", D=D) for D in (3e6, 9e6, 1e6)]
    table = write_evaluations(made, tmp_path / "study")
    assert table.runs["D"].to_list() == [9e6]
    assert table.values["D"].unique().sort().to_list() == [1e6, 3e6, 9e6]


def test_a_known_run_must_be_the_same_model_and_not_end_earlier(corpus, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path / "a"))
    wider = load_checkpoint(saved(tmp_path / "b", tiny_llama(width=64)))
    wanted = Questions(corpus=corpus, sources=("prose",), sequence=32)
    write_evaluations([evaluate_checkpoint(checkpoint, wanted, D=5e6)], tmp_path / "study")
    known = known_study(tmp_path / "study")
    with pytest.raises(TableError, match="has a run 'a' with N"):
        evaluate_checkpoint(wider, wanted, name="a", D=5e6, known=known)
    with pytest.raises(TableError, match="ends at D = 5e"):
        evaluate_checkpoint(checkpoint, wanted, D=6e6, known=known)
    more = evaluate_checkpoint(checkpoint, wanted, D=4e6, known=known)
    assert write_evaluations([more], tmp_path / "study").runs["D"].to_list() == [5e6]


def test_what_is_missing_is_asked_for_before_anything_is_measured(corpus, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path / "a"))
    with pytest.raises(TrainError, match="give -D"):
        evaluate_checkpoint(checkpoint, Questions(corpus=corpus))
    with pytest.raises(TrainError, match="nothing to put into a table"):
        evaluate_checkpoint(checkpoint, Questions(), D=1e6)
    with pytest.raises(TrainError, match="windows of 512 tokens"):
        evaluate_checkpoint(checkpoint, Questions(corpus=corpus, sequence=512), D=1e6)


def words_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = {letter: i for i, letter in enumerate(["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    vocabulary = {**letters, "ab": 257, "cd": 258}
    rust = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b"), ("c", "d")]))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    rust.decoder = decoders.ByteLevel()
    rust.add_special_tokens(["<|endoftext|>"])
    folder.mkdir()
    rust.save(str(folder / "tokenizer.json"))
    from foretell.corpus import read_tokenizer

    return read_tokenizer(folder)


def test_a_model_with_another_tokenizer_has_its_loss_measured_and_no_cloze(corpus, tmp_path):
    words = words_tokenizer(tmp_path / "words")
    checkpoint = load_checkpoint(saved(tmp_path / "a", tiny_llama(vocabulary=264), tokenizer=words))
    made = evaluate_checkpoint(checkpoint, Questions(corpus=corpus, sources=("prose",), sequence=32), D=1e6)
    loss, bpb = (one.value for one in made.measured)
    held = corpus.held_out("prose")
    tokens = sum(len(words.encode(BYTES.decode(one))) + 1 for one in held)
    assert tokens < len(held.tokens)
    assert bpb == pytest.approx(loss * tokens / math.log(2) / held.bytes.sum())
    assert "encoded again" in made.notes[0]
    cloze = make_cloze(corpus, "prose", items=4, prompt_tokens=12, option_tokens=6)
    with pytest.raises(CorpusError, match="the cloze task cloze_prose was made with another tokenizer"):
        evaluate_checkpoint(checkpoint, Questions(cloze=(cloze,)), D=1e6)


def test_the_verb_measures_several_checkpoints_and_prints_them(corpus, tmp_path):
    app = Typer()
    app.command()(evaluate_verb)
    request_file(tmp_path / "requests", "arc_easy/rc_0shot", asked())
    folders = [str(saved(tmp_path / name, tiny_llama(seed=i))) for i, name in enumerate(("one", "two"))]
    options = ["--corpus", str(corpus.folder), "--task", "arc_easy", "--requests", str(tmp_path / "requests"),
               "--cloze", "prose", "--cloze-items", "6", "--cloze-prompt", "12", "--cloze-option", "6",
               "--probe", "prose", "--probe-tokens", "200", "-D", "2xC", "--sequence", "32"]  # fmt: skip
    done = CliRunner().invoke(app, [*folders, *options, "-o", str(tmp_path / "study")], catch_exceptions=False)
    assert done.exit_code == 0
    for words in ("one: N = ", "two: N = ", "arc_easy/acc", "cloze_prose/acc", "prose/bpb", "written to"):
        assert words in done.output
    study = open_study(tmp_path / "study")
    assert study.runs["name"].to_list() == ["one", "two"]
    assert study.runs["D"][0] == 40 * study.runs["N"][0]
    assert read_probe(tmp_path / "study" / "tokens" / "prose").runs == ["one", "two"]
    with pytest.raises(TrainError, match="-D is given 3 times for 2 checkpoints"):
        CliRunner().invoke(app, [*folders, "-D", "1", "-D", "2", "-D", "3", "-o", "x"], catch_exceptions=False)
    with pytest.raises(CorpusError, match="give --corpus"):
        CliRunner().invoke(app, [*folders, "--cloze", "prose", "-o", "x"], catch_exceptions=False)
    done = CliRunner().invoke(
        app, [folders[0], *options, "--json", "-o", str(tmp_path / "again")], catch_exceptions=False
    )
    (told,) = json.loads(done.stdout)
    assert told["values"]["arc_easy/acc"]["items"] == 6
