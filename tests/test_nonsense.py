"""What makes no sense on the command line is refused with a short message, before anything is spent."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.corpus import Texts, build_corpus
from foretell.errors import ForetellError, LadderError, MethodError, TrainError
from foretell.ladder.training import train_ladder
from foretell.report.canvas import ENDINGS, check_figure
from foretell.rung import read_ladder
from foretell.sources.shipped import shipped_ladder, shipped_mixtures
from foretell.table import save_study

LADDER = """
format = 1
[evaluation]
probe = {probe}
tokens = 256
[[rung]]
name = "x"
shape = {{ layers = 1, width = 16, heads = 2, kv_heads = 2, mlp_width = 32, vocabulary = 264, sequence = 32 }}
batch = 2
learning_rate = {rate}
warmup = 2
weights = {{ a = 1.0 }}
D = [2048]
most_epochs = inf
"""


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    save_study(shipped_ladder(), folder / "ladder", source="shipped")
    save_study(shipped_mixtures(), folder / "mixtures", source="shipped")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Give a folder with a corpus of little text."""
    folder = tmp_path_factory.mktemp("ladder")
    (folder / "texts").mkdir()
    for i in range(40):
        (folder / "texts" / f"{i}.txt").write_text(f"text number {i} says {i * i} things, and then again {i}.\n" * 2)
    build_corpus({"a": Texts(str(folder / "texts"))}, folder / "corpus", held_out=0.3)
    return folder


def ladder(place, *, probe=256, rate=0.003):
    path = place / f"ladder-{probe}-{rate}.toml"
    path.write_text(LADDER.format(probe=probe, rate=rate))
    return path


def told(*words):
    """Give what a command says that ends badly; a traceback of another's making is no answer."""
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code != 0, done.output
    assert isinstance(done.exception, ForetellError | SystemExit), repr(done.exception)
    return str(done.exception) if isinstance(done.exception, ForetellError) else done.output


# -- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ends"), [("x.foo", "ends in '.foo'"), ("x", "has no ending"), ("x.", "has no end")])
def test_a_figures_ending_is_one_of_three(name, ends, tmp_path):
    with pytest.raises(ForetellError, match=f"{ends}.*; a figure ends in .png, .svg or .pdf"):
        check_figure(tmp_path / name)
    for ending in ENDINGS:
        assert check_figure(tmp_path / f"a{ending.upper()}")


def test_a_figures_folder_must_be_there(tmp_path):
    with pytest.raises(ForetellError, match=r"there is no folder .*; make it first"):
        check_figure(tmp_path / "no" / "a.png")


@pytest.mark.parametrize(
    "verb",
    [
        ("demo", "--figure"), ("demo", "--mixtures", "--figure"), ("compare", "ladder", "--figure"),
        ("ablate", "ladder", "--figure"), ("rank", "ladder", "--figure"), ("outlook", "ladder", "--figure"),
        ("mix", "best", "mixtures", "-D", "1M", "--figure"),
        ("mix", "fit", "mixtures", "-D", "1M", "--pool", "dictionary=16K", "--figure"),
        ("plot", "forecast", "ladder", "-o"),
    ],
)  # fmt: skip
def test_every_verb_that_draws_refuses_the_ending_before_it_computes(verb, studies, monkeypatch):
    monkeypatch.chdir(studies)
    said = told(*verb, "x.foo")
    assert said == "the figure x.foo ends in '.foo'; a figure ends in .png, .svg or .pdf"


# -- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.2, "nan"])
@pytest.mark.parametrize(
    "verb",
    [
        ("predict", "ladder", "-N", "1M", "-D", "1B"), ("fit", "ladder", "--law", "chinchilla", "--metric", "code/loss"),
        ("rank", "ladder"), ("report", "ladder", "-o", "r.html"), ("serve", "ladder"), ("demo",), ("plan", "-N", "7B", "-D", "1T"),
        ("plot", "ladder", "ladder", "-o", "a.pdf"), ("outlook", "ladder"), ("mix", "best", "mixtures"),
        ("mix", "rank", "mixtures"), ("mix", "fit", "mixtures", "-D", "1M", "--pool", "dictionary=16K"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_level_lies_between_0_and_1_in_every_verb(verb, level, studies, monkeypatch):
    monkeypatch.chdir(studies)
    assert f"level is {float(level)}; it lies between 0 and 1" in told(*verb, "--level", level)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("predict ladder -N 1M -D 1B --draws -5", "give draws ≥ 0"),
        ("predict ladder -N 1M -D 1B --draws 1", "1 draws make no interval"),
        ("predict ladder -N 1M -D 1B --starts 0", "starts ≥ 1"),
        ("predict ladder -N 1M -D 1B --seed -1", "seed is -1; give seed ≥ 0"),
        ("predict ladder -N -1 -D 1B", "N '-1' cannot be read"),
        ("predict ladder -N nan -D 1B", "N 'nan' cannot be read"),
        ("predict ladder -N 1M -D 0", "it must be a positive finite number"),
        ("predict ladder -N 1M -D 1B --input U=-1", "U '-1' cannot be read"),
        ("fit ladder --law chinchilla --metric code/loss --draws 1", "1 draws make no interval"),
        ("fit ladder --law chinchilla --metric code/loss --draws -1", "give draws ≥ 0"),
        ("backtest ladder --draws -3", "give draws ≥ 0"),
        ("rank ladder --draws -4", "give draws ≥ 0"),
        ("ablate ladder --last 1", "give at least 2"),
        ("outlook ladder 443K-4M --final nan", "--final"),
        ("outlook ladder 443K-4M --final 2", "--final"),
        ("outlook ladder 443K-4M --steps 0", "--steps"),
        ("outlook ladder 443K-4M --upto nan", "upto is nan"),
        ("outlook ladder 443K-4M --false-alarms nan", "false-alarm rate of nan"),
        ("watch ladder --every nan", "--every"),
        ("serve ladder --port -1", "port -1 does not exist"),
        ("mix best mixtures -D 1M --seed -1", "seed is -1; give seed ≥ 0"),
        ("mix best mixtures -D 1M --draws -1", "--draws"),
        ("mix best mixtures -D 1M --most-epochs nan", "at most nan epochs"),
        ("mix best mixtures -D 1M --floor dictionary=nan", "cannot be read"),
        ("mix best mixtures -D 1M --closeness nan --prior dictionary=0.5 --prior kernel=0.5", "closeness is nan"),
        ("mix best mixtures -D 1M --closeness inf --prior dictionary=0.5 --prior kernel=0.5", "closeness is inf"),
        ("mix fit mixtures -D 1M --metric kernel/loss --pool dictionary=0", "it must be a positive finite number"),
        ("mix rank mixtures --seed -1", "seed is -1; give seed ≥ 0"),
        ("plan -N 7B -D 1T --rungs -1", "ask for --rungs 2 or more"),
        ("plan -N 7B -D 1T --devices 0 --device h100", "0 devices train nothing"),
        ("plan -N 7B -D 1T --mfu nan --device h100", "mfu is nan"),
        ("read table x.csv --N N --D D --metric m --final-mean 0 -o s", "--final-mean"),
        ("trace ladder --sequence 0", "--sequence"),
        ("evaluate checkpoint --probe-tokens 0 -o s", "--probe-tokens"),
        ("evaluate checkpoint --seed -1 -o s", "seed is -1; give seed ≥ 0"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(line, said, studies, monkeypatch):
    monkeypatch.chdir(studies)
    assert said in told(*line.split())


# -- designs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--source a", "the source a is named twice; name each source once"),
        ("--source a --swarm 9", "the source a is named twice; name each source once"),
        ("--heads 3", "the model makes no sense: 3 heads do not cut a width of 64"),
        ("--width 7", "the model makes no sense: 2 heads do not cut a width of 7"),
        ("--learning-rate nan", "learning_rate: Input should be a finite number"),
        ("--learning-rate inf", "learning_rate: Input should be a finite number"),
        ("--learning-rate -1 --swarm 9", "the run swarm-000 makes no sense: learning_rate"),
        ("--layers 0", "--layers"), ("--batch 0", "--batch"), ("--sequence -4", "--sequence"), ("--points 0", "ask for at least 3"),
        ("--horizon nan", "a horizon is a share 0..1"), ("--swarm 5 --seed -1", "seed is -1; give seed ≥ 0"),
    ],
)  # fmt: skip
def test_a_mixture_design_that_makes_no_sense_is_refused(options, said, tmp_path):
    path = tmp_path / "l.toml"
    line = ["mix", "plan", path, "-D", "1M", "--source", "a", "--source", "b", "--pool", "a=20K", *options.split()]
    assert said in told(*line)
    assert not path.exists()


@pytest.mark.parametrize("rate", ["nan", "inf", "-1.0"])
def test_a_learning_rate_in_a_ladders_file_is_a_positive_finite_number(rate, place):
    with pytest.raises(LadderError, match="rung x, learning_rate"):
        read_ladder(ladder(place, rate=rate))


# -- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("save_every", -1, "a checkpoint every -1 seconds cannot be kept"),
        ("save_every", 0, "give more than 0, such as 60"),
        ("save_every", float("nan"), "a checkpoint every nan seconds"),
        ("processes", 0, "0 processes"),
        ("retries", -1, "-1 retries"),
    ],
)
def test_training_is_not_begun_with_options_that_make_no_sense(option, value, said, place):
    with pytest.raises(TrainError, match=said):
        train_ladder(ladder(place), **{option: value})
    assert not (place / "study").exists()


def test_a_probe_longer_than_the_held_out_text_is_told_before_the_first_job(place):
    with pytest.raises(LadderError, match=r"held-out part of 'a' has \d+ tokens, a probe asks for 65536; .*--held-out"):
        train_ladder(ladder(place, probe=65536))
    assert not (place / "study").exists()


def test_questions_that_the_held_out_text_does_not_give_are_told_before_the_first_job(place):
    path = ladder(place)
    path.write_text(path.read_text().replace("tokens = 256", 'tokens = 256\ncloze = ["a"]\nprompt = 512'))
    with pytest.raises(LadderError, match=r"what \[evaluation\] of .* asks for cannot be measured"):
        train_ladder(path)


# -- extras ---------------------------------------------------------------------------------------------------------


def test_without_mlflow_the_extra_is_named_before_anything_is_forecast(studies, monkeypatch):
    monkeypatch.chdir(studies)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said = told("export", "ladder", "--to", "mlflow", "--uri", "sqlite:///m.db", "-N", "1M", "-D", "1B")
    assert said == "MLflow is not installed; run pip install 'foretell[track]'"


def test_the_closeness_of_a_goal_is_finite():
    from foretell.mixing import Goal
    from foretell.mixture import Pools

    with pytest.raises(MethodError, match="closeness is nan"):
        Goal(1e6, 1e9, {"a/loss": 1.0}, Pools({}), None, closeness=float("nan"))


@pytest.mark.parametrize("name", ["task[strict-match]/acc", "[/x]/acc", "a:smile:/acc"])
def test_brackets_in_a_name_are_printed_as_they_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(N, N * M) for N in (6e7, 1.2e8, 2.5e8, 5e8, 1e9) for M in (20, 50, 100)]
    losses = [1.7 + 400 / N**0.34 + 410 / D**0.28 for N, D in rows]
    lines = [
        f"[red]{k},[/bold],{N},{D},{loss:.5f},{0.25 + 0.7 / (1 + 2.718 ** (6 * (loss - 2.7))):.4f}"
        for k, ((N, D), loss) in enumerate(zip(rows, losses, strict=True))
    ]
    Path("t.csv").write_text("\n".join(["m,fam,n,d,loss,acc", *lines]) + "\n")
    loss = name.replace("/acc", "/loss")
    lines = [
        ["read", "table", "t.csv", "--run", "m", "--N", "n", "--D", "d", "--family", "fam", "-o", "s",
         "--metric", f"{loss}=loss", "--unit", f"{loss}=nats/token", "--metric", f"{name}=acc", "--unit", f"{name}=accuracy"],
        ["predict", "s", "-N", "2B", "-D", "40B", "--draws", "40"],
        ["backtest", "s", "--metric", loss, "--draws", "30"],
        ["fit", "s", "--law", "chinchilla", "--metric", loss],
        ["seal", "s", "-N", "2B", "-D", "40B", "--draws", "40", "-o", "f.json"],
        ["rank", "s"],
    ]  # fmt: skip
    for line in lines:
        done = CliRunner().invoke(app, line, env={"COLUMNS": "200"})
        if done.exception is not None:  # a rank may find too few runs, and says so
            assert line[0] == "rank", done.exception
            assert isinstance(done.exception, ForetellError)
        elif line[0] != "rank":
            assert (loss if line[0] in ("backtest", "fit") else name) in done.output, line
