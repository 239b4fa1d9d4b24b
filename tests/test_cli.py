"""The verbs print what they say, JSON has the keys that were promised, and bad input ends with one clear message."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import foretell
from foretell.cli import main
from foretell.cli.app import app
from foretell.sources import read
from foretell.table import save_study
from ladders import ladder, sigmoid_task
from protocols import testbeds

FIT_KEYS = {"law", "formula", "metric", "coefficients", "intervals", "objective", "n", "doubts"}
PREDICT_KEYS = ["target", "metric", "method", "value", "low", "high", "level", "reach", "doubts"]
FAST = ("--draws", "40", "--starts", "16")
TARGET = ("-N", "7B", "-D", "5xC")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Give a folder with a study of 16 runs and one held out, and the same with an odd metric's name."""
    folder = tmp_path_factory.mktemp("studies")
    save_study(ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)]), folder / "study")
    save_study(ladder(0.003, tasks={"odd|name (5 shot) acc": sigmoid_task}), folder / "odd")
    save_study(ladder(0.003, sizes=(1e9,), multiples=(1.0,), tasks={"easy/acc": sigmoid_task}), folder / "one-run")
    return folder


@pytest.fixture
def run(studies, monkeypatch, capsys):
    """Run the command line as a user does, beside the studies; give its code, output and error output."""

    def invoke(*words):
        monkeypatch.chdir(studies)
        monkeypatch.setattr(sys, "argv", ["foretell", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return invoke


def told_by(run, *words):
    code, out, err = run(*words, "--json")
    assert code == 0, err
    return json.loads(out)


# -- fit ------------------------------------------------------------------------------------------------------------


def test_fit_tells_machines_law_coefficients_intervals_objective_and_doubts(run):
    told = told_by(run, "fit", "study", "--law", "chinchilla", "--metric", "c4/loss", *FAST)
    assert set(told) >= FIT_KEYS
    assert (told["law"], told["metric"], told["n"]) == ("chinchilla", "c4/loss", 16)
    assert told["formula"] == "E + A/N**alpha + B/D**beta"
    assert set(told["coefficients"]) == set(told["intervals"]) == {"A", "B", "E", "alpha", "beta"}
    assert all(low <= high for low, high in told["intervals"].values())
    assert isinstance(told["objective"], float)
    assert all(isinstance(doubt, str) for doubt in told["doubts"])


def test_fit_takes_a_formula_of_ones_own(run):
    told = told_by(run, "fit", "study", "--law", "E + (A/N**alpha + B/D**beta)**k", "--metric", "c4/loss", *FAST)
    assert told["law"] == "formula"
    assert "k" in told["coefficients"]


def test_a_formula_fits_as_the_law_of_the_catalogue_does(run):
    words = ("--metric", "c4/loss", *FAST)
    named = told_by(run, "fit", "study", "--law", "chinchilla", *words)
    written = told_by(run, "fit", "study", "--law", "B/D**beta + A/N**alpha + E", *words)
    assert written["objective"] == pytest.approx(named["objective"], rel=1e-9)


@pytest.mark.parametrize("objective", ["huber:1e-3", "huber-scale", "gaussian", "student-t", "gaussian@linear"])
def test_fit_takes_every_objective(run, objective):
    told = told_by(run, "fit", "study", "--law", "chinchilla", "--metric", "c4/loss", "--objective", objective, *FAST)
    assert told["coefficients"]["E"] == pytest.approx(1.817, rel=0.2)


def test_fit_of_a_link_goes_through_a_loss(run):
    told = told_by(run, "fit", "study", "--law", "sigmoid", "--metric", "easy/acc", "--objective", "binomial", *FAST)
    assert told["n"] == 16


def test_without_draws_there_is_no_interval(run):
    told = told_by(run, "fit", "study", "--law", "chinchilla", "--metric", "c4/loss", "--draws", "0")
    assert told["intervals"] == {}
    told = told_by(run, "predict", "study", *TARGET, "--draws", "0")
    assert {row["low"] for row in told} == {None}


def test_fit_prints_a_table_for_people(run):
    code, out, _ = run("fit", "study", "--law", "chinchilla", "--metric", "c4/loss", *FAST)
    assert code == 0
    assert "16 rows of 16 runs" in out
    assert "nats/token · parameters^alpha" in out
    assert "nan" not in out.split()


# -- predict --------------------------------------------------------------------------------------------------------


def test_predict_tells_machines_a_list_with_the_promised_keys(run):
    told = told_by(run, "predict", "study", *TARGET, *FAST)
    assert [list(row) for row in told] == [PREDICT_KEYS]
    (row,) = told
    assert row["target"] == {"N": 7e9, "D": 5 * 20 * 7e9}
    assert (row["metric"], row["method"], row["level"]) == ("easy/acc", "ladder", 0.8)
    assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    assert row["reach"] == pytest.approx(np.log10(7e9 * 7e11 / (1.28e9 * 2.56e11)))


def test_predict_says_nothing_beside_its_json(run):
    _, out, err = run("predict", "study", *TARGET, *FAST, "--json")
    assert json.loads(out)
    assert err == ""


def test_the_same_seed_gives_the_same_bytes(run):
    words = ("predict", "study", *TARGET, *FAST, "--json")
    assert run(*words, "--seed", 5)[1] == run(*words, "--seed", 5)[1]
    assert run(*words, "--seed", 5)[1] != run(*words, "--seed", 6)[1]


def test_a_file_of_targets_gives_a_forecast_for_each_row(run, studies):
    (studies / "targets.csv").write_text("name,N,D,C\nmine,7B,2xC,\nyours,1.3e10,5T,4e23\n")
    told = told_by(run, "predict", "study", "--targets", "targets.csv", "--task", "easy", *FAST)
    assert [row["target"] for row in told] == [
        {"N": 7e9, "D": 2.8e11, "name": "mine"},
        {"N": 1.3e10, "D": 5e12, "C": 4e23, "name": "yours"},
    ]


def test_without_a_target_the_held_out_runs_are_forecast(run):
    told = told_by(run, "predict", "study", *FAST)
    assert [row["target"]["name"] for row in told] == ["run 16"]


def test_a_metric_or_a_task_chooses_what_is_forecast(run):
    told = told_by(run, "predict", "study", *TARGET, *FAST, "--metric", "c4/loss", "--task", "easy")
    assert [row["metric"] for row in told] == ["c4/loss", "easy/acc"]


def test_an_odd_name_of_a_metric_is_no_hindrance(run):
    code, out, _ = run("predict", "odd", *TARGET, *FAST, "--metric", "odd|name (5 shot) acc")
    assert code == 0
    assert "odd|name (5 shot) acc" in out


def test_a_higher_level_gives_a_wider_interval(run):
    narrow, wide = (told_by(run, "predict", "study", *TARGET, *FAST, "--level", level)[0] for level in (0.5, 0.9))
    assert wide["low"] < narrow["low"] <= narrow["high"] < wide["high"]
    assert (narrow["level"], wide["level"]) == (0.5, 0.9)


def test_where_chooses_the_runs_that_are_fitted(run):
    whole = told_by(run, "predict", "study", *TARGET, *FAST)[0]
    part = told_by(run, "predict", "study", *TARGET, *FAST, "--where", "N <= 8e8")[0]
    assert part["reach"] > whole["reach"]


def test_as_published_gives_a_value_without_an_interval(run, studies):
    save_study(read("gadre", testbeds() / "gadre").where("family = 'c4'"), studies / "gadre")
    words = ("--method", "overtrained", "--metric", "c4/loss", "--as-published")
    (row,) = told_by(run, "predict", "gadre", *TARGET, *words)
    assert (row["low"], row["high"]) == (None, None)
    assert row["value"] > 1.5
    code, out, _ = run("predict", "gadre", *TARGET, *words)
    assert code == 0
    assert "none" in out


# -- backtest and laws ----------------------------------------------------------------------------------------------


def test_backtest_scores_forecasts_of_hidden_rows(run):
    told = told_by(run, "backtest", "study", "--metric", "c4/loss", *FAST)
    assert told["method"] == "ladder"
    (kind,) = {"shares", "others"} & set(told)
    assert told[kind]["n"] == len(told["outcomes"]) > 5
    assert told[kind]["mean_abs_error"] < told[kind]["largest_run_error"]
    assert set(told[kind]["coverage"]["0.8"]) == {"share", "low", "high"}
    assert all(outcome["target"]["name"] != "run 16" for outcome in told["outcomes"])


def test_backtest_tabulates_coverage_by_reach_and_kind(run):
    said = run("backtest", "study", "--metric", "c4/loss", *FAST)[1]
    table = said[said.index("reach, decades") :]
    assert "others" in table
    assert any(label in table for label in ("≤ 0", "0 to 0.5", "0.5 to 1", "> 1"))
    assert "reach, decades" not in run("backtest", "study", "--by", "held-out", "--draws", "0")[1]


def test_backtest_by_held_out_runs_forecasts_just_them(run):
    told = told_by(run, "backtest", "study", "--by", "held-out", *FAST)
    assert [outcome["target"]["name"] for outcome in told["outcomes"]] == ["run 16"]


def test_a_backtest_without_draws_scores_errors_alone(run):
    told = told_by(run, "backtest", "study", "--by", "held-out", "--draws", "0")
    (kind,) = {"shares", "others"} & set(told)
    assert told[kind]["mean_abs_error"] < 0.1
    assert (told[kind]["coverage"], told[kind]["interval_score_0.8"]) == ({}, None)


def test_laws_are_listed_and_one_is_shown(run):
    assert {"chinchilla", "skaling", "sigmoid"} <= {entry["law"] for entry in told_by(run, "laws")}
    (entry,) = told_by(run, "laws", "chinchilla")
    assert entry["coefficients"]["E"]["published"] == 1.8172
    assert "Besiroglu" in run("laws", "chinchilla")[1]


def verbs(command=None, path=()):
    """List every verb and verb of a verb."""
    command = command or typer.main.get_command(app)
    yield list(path)
    for name, one in getattr(command, "commands", {}).items():
        yield from verbs(one, (*path, name))


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_every_verb_has_help(run, verb):
    code, out, _ = run(*verb, "--help")
    assert code == 0
    assert "Usage" in out


def test_help_of_predict_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['foretell', 'predict', '--help']\n"
        "from foretell.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit(', '.join({'numpy', 'polars', 'sympy', 'numba', 'scipy', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# -- bad input ------------------------------------------------------------------------------------------------------

FIT = ("fit", "study", "--metric", "c4/loss")
PREDICT = ("predict", "study")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*PREDICT, "-N", "7X", "-D", "4T"), "unknown unit 'X'; known units: K"),
        ((*PREDICT, "-N", "0", "-D", "4T"), "must be a positive finite number"),
        ((*PREDICT, "-N", "-7B", "-D", "4T"), "cannot be read"),
        ((*PREDICT, "-N", "nan", "-D", "4T"), "cannot be read"),
        ((*PREDICT, "-N", "7B"), "-D is missing"),
        ((*PREDICT, "-D", "7B"), "-N is missing"),
        ((*PREDICT, "-C", "1e21"), "give -N and -D as well"),
        ((*PREDICT, *TARGET, "--level", "0"), "lies between 0 and 1"),
        ((*PREDICT, *TARGET, "--level", "80"), "lies between 0 and 1"),
        ((*PREDICT, *TARGET, "--draws", "-1"), "draws ≥ 0"),
        ((*PREDICT, *TARGET, "--starts", "0"), "starts ≥ 1"),
        ((*PREDICT, *TARGET, "--seed", "-1"), "seed ≥ 0"),
        ((*PREDICT, *TARGET, "--task", "eazy"), "did you mean easy/acc"),
        ((*PREDICT, *TARGET, "--metric", "c4/los"), "did you mean c4/loss"),
        ((*PREDICT, *TARGET, "--method", "lader"), "did you mean ladder"),
        ((*PREDICT, *TARGET, "--law", "skalin"), "did you mean skaling"),
        ((*PREDICT, *TARGET, "--law", "direct", "--metric", "c4/loss"), "gives a share"),
        ((*PREDICT, *TARGET, "--link", "sigmod"), "did you mean sigmoid"),
        ((*PREDICT, *TARGET, "--parts", "noize"), "did you mean noise"),
        ((*PREDICT, *TARGET, "--parts", ""), "known: coefficients, form, noise"),
        ((*PREDICT, *TARGET, "--where", "N < 1"), "no run fulfils 'N < 1'"),
        ((*PREDICT, *TARGET, "--where", "size < 1"), "columns: name, family, N"),
        ((*PREDICT, *TARGET, "--where", "N <="), "cannot be used"),
        ((*PREDICT, *TARGET, "--intermediate", "c4/los"), "did you mean c4/loss"),
        ((*PREDICT, *TARGET, "--method", "chinchilla"), "use the method ladder"),
        ((*PREDICT, *TARGET, "--from-compute"), "takes no from_compute"),
        (("predict", "one-run", *TARGET), "at least"),
        (("predict", "nowhere", *TARGET), "there is no study at nowhere"),
        (("predict", ".", *TARGET), "is not a study"),
        (("predict", "odd"), "there is no target"),
        ((*FIT, "--law", "chinchila"), "did you mean chinchilla"),
        ((*FIT, "--law", "__import__('os').system('true')"), "only exp, log, sqrt"),
        ((*FIT, "--law", "E.real + A/N"), "which is not arithmetic"),
        ((*FIT, "--law", "E + A/N^alpha"), "write powers as **"),
        ((*FIT, "--law", "E + _A/N"), "may not begin with an underscore"),
        ((*FIT, "--law", "E + A/U**alpha"), "needs U"),
        ((*FIT, "--law", "6*N*D"), "no coefficient to fit"),
        ((*FIT, "--law", "E*exp(exp(exp(N)))"), "finite"),
        ((*FIT, "--law", "chinchilla", "--objective", "hubr"), "did you mean huber"),
        ((*FIT, "--law", "chinchilla", "--objective", "huber:0"), "must be positive"),
        ((*FIT, "--law", "chinchilla", "--objective", "binomial"), "can be binomial"),
        ((*FIT, "--law", "chinchilla", "--resample", "rows"), "known: noise, runs"),
        ((*FIT, "--law", "chinchilla", "--draws", "-5"), "give draws ≥ 0"),
        ((*FIT, "--law", "chinchilla", "--level", "2"), "lies between 0 and 1"),
        ((*FIT, "--law", "sigmoid", "--through", "c4/loss"), "gives a share"),
        ((*FIT, "--law", "skaling", "--where", "N < 3e8"), "at least 7 are needed"),
        (("backtest", "study", "--by", "size"), "known: C, D, N, family, held-out"),
        (("backtest", "odd", "--by", "held-out"), "no run is held out"),
        (("backtest", "one-run"), "too few different values"),
        (("laws", "chinchila"), "did you mean chinchilla"),
        (("demo", "nowhere"), "nowhere"),
        (("demo", "--level", "1"), "lies between 0 and 1"),
    ],
)
def test_bad_input_ends_with_one_clear_message_and_code_two(run, words, message):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "need the columns name,N,D[,C]; found: no row"),
        ("name,N,D\n", "found: no row"),
        ("name,params,D\na,7B,4T\n", "need the columns"),
        ("name,N,D\na,7B,4T\nb,nan,4T\n", "line 3"),
        ("name,N,D\na,,4T\n", "line 2"),
        ("name,N,D\na,7B\n", "line 2"),
        ("name,N,D\na,7B,-4T\n", "line 2"),
    ],
)
def test_a_bad_file_of_targets_is_told_by_its_line(run, studies, content, message):
    (studies / "bad.csv").write_text(content)
    code, out, err = run("predict", "study", "--targets", "bad.csv")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_a_file_of_targets_that_is_no_file_is_told(run, studies):
    (studies / "binary.csv").write_bytes(b"\xff\xfe\x00N,D\n")
    for path, said in (
        ("nowhere.csv", "cannot be read"),
        ("study", "cannot be read"),
        ("binary.csv", "binary.csv is UTF-16, not UTF-8"),
    ):
        code, _, err = run("predict", "study", "--targets", path)
        assert code == 2
        assert said in " ".join(err.split())


def test_a_half_written_study_is_told_and_left_alone(run, studies):
    save_study(ladder(), studies / "half")
    (studies / "half" / "observations.parquet").unlink()
    before = sorted(path.name for path in (studies / "half").iterdir())
    code, _, err = run("predict", "half", *TARGET)
    assert code == 2
    assert "half-written: observations.parquet is missing" in " ".join(err.split())
    assert sorted(path.name for path in (studies / "half").iterdir()) == before


def test_a_damaged_study_is_told(run, studies):
    for name in ("runs.parquet", "observations.parquet", "study.toml"):
        save_study(ladder(), studies / f"damaged-{name}")
        (studies / f"damaged-{name}" / name).write_bytes(b"half of a file")
        code, _, err = run("predict", f"damaged-{name}", *TARGET)
        assert code == 2
        assert "cannot be read" in " ".join(err.split())


def test_no_verb_writes_into_a_study(run, studies):
    def state():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(studies / "study").iterdir()}

    before = state()
    for words in (("predict", "study", *TARGET, *FAST), (*FIT, "--law", "ray", *FAST), ("backtest", "study", *FAST)):
        run(*words)
    assert state() == before


def test_no_verb_escapes_a_bracket_since_the_console_prints_them_as_they_are():
    verbs = Path(foretell.__file__).parent / "cli"
    assert not [file.name for file in verbs.glob("*.py") if "\\\\[" in file.read_text(encoding="utf-8")]
