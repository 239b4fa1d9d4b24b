"""`foretell read` prints what it read, and an error of the user's ends with one message and code 2."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from foretell.cli import main
from foretell.cli.app import app
from foretell.errors import TableError
from foretell.table import open_study
from protocols import testbeds

CSV = "model,N,D,loss\nsmall,1e8,2e9,3.5\nlarge,1e9,2e10,2.9\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(CSV)
    return path


def invoke(*words):
    return CliRunner().invoke(app, ["read", *map(str, words)], catch_exceptions=True)


def test_a_table_is_read_into_a_study(file, tmp_path):
    done = invoke(
        "table", file, "--run", "model", "--N", "N", "--D", "D", "--metric", "c4/loss=loss", "-o", tmp_path / "s"
    )
    assert done.exit_code == 0, done.output
    assert "100M – 1B parameters" in done.stdout
    assert open_study(tmp_path / "s").runs["name"].to_list() == ["large", "small"]


def test_json_is_one_object_for_machines(file, tmp_path):
    words = ["--run", "model", "--N", "N", "--D", "D", "--metric", "c4/loss=loss", "--held-out", "N >= 1e9", "--json"]
    done = invoke("table", file, *words, "-o", tmp_path / "s")
    told = json.loads(done.stdout)
    assert (told["runs"], told["held_out"], told["N"], told["rows"]) == (2, ["large"], [1e8, 1e9], "final")
    assert told["metrics"] == {"c4/loss": {"unit": "nats/token", "values": 2, "holes": 0}}


def test_every_option_of_a_table_reaches_the_reader(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("m,n,nt,d,c,u,fam,st,lr,wa,wb,acc,v\nx,1,2,3,4,5,f,6,7,.5,.5,.25,9\nx,1,2,4,5,5,f,7,6,.5,.5,.3,8\n")
    words = [
        "--run",
        "m",
        "--N",
        "n",
        "--N-total",
        "nt",
        "--D",
        "d",
        "--C",
        "c",
        "--U",
        "u",
        "--family",
        "fam",
        "--step",
        "st",
        "--attribute",
        "rate=lr",
        "--weight",
        "a=wa",
        "--weights",
        "*b",
        "--metric",
        "t/acc=acc",
        "--metric",
        "v",
        "--unit",
        "v=perplexity",
        "--chance",
        "t/*=.25",
        "--items",
        "t/acc=20",
        "--law-N",
        "N_total",
        "--all-rows",
        "--final-mean",
        "2",
        "--shared-loss",
        "v",
        "--replicates",
        "--held-out",
        "n>0",
    ]
    done = invoke("table", path, *words, "-o", tmp_path / "s")
    assert done.exit_code == 0, done.exception
    study = open_study(tmp_path / "s")
    run = study.runs.row(0, named=True)
    assert (run["N"], run["N_total"], run["D"], run["C"], run["U"], run["family"]) == (1, 2, 4, 5, 5, "f")
    assert (run["w_a"], run["w_w"], run["held_out"]) == (0.5, 0.5, True)
    assert (study.law_N, study.rows, study.final_mean, study.shared_loss) == ("N_total", "all", 2, "v")
    assert (study.metrics["t/acc"].chance, study.metrics["t/acc"].items, study.metrics["v"].unit) == (
        0.25,
        20,
        "perplexity",
    )
    assert sorted(study.values["rate"].unique()) == [6, 7]


def test_a_toml_map_is_read_and_the_command_line_goes_before_it(file, tmp_path):
    (tmp_path / "map.toml").write_text('[columns]\nrun = "model"\nN = "N*2"\nD = "D"\nmetric = {"c4/loss" = "loss"}\n')
    done = invoke("table", file, "--from-toml", tmp_path / "map.toml", "--N", "N", "-o", tmp_path / "s")
    assert done.exit_code == 0, done.exception
    assert open_study(tmp_path / "s").runs["N"].max() == 1e9


def test_merged_rows_are_told(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text(CSV + "small,1e8,2e9,3.5\n")
    done = invoke("table", path, "--run", "model", "--N", "N", "--D", "D", "--metric", "loss", "-o", tmp_path / "s")
    assert "1 rows repeat another row's key and values; merged" in done.stdout


def test_reading_again_into_a_study_adds_nothing(file, tmp_path):
    words = ["table", file, "--run", "model", "--N", "N", "--D", "D", "--metric", "loss", "-o", tmp_path / "s"]
    invoke(*words)
    again = invoke(*words)
    assert "2 values were already there; merged" in again.stdout


def test_an_error_writes_nothing(file, tmp_path):
    file.write_text(CSV + "odd,1e8,-1,3.5\n")
    done = invoke("table", file, "--run", "model", "--N", "N", "--D", "D", "--metric", "loss", "-o", tmp_path / "s")
    assert isinstance(done.exception, TableError)
    assert not (tmp_path / "s").exists()


def test_a_users_error_is_one_message_and_code_two(file, tmp_path, monkeypatch, capsys):
    words = [
        "foretell",
        "read",
        "table",
        str(file),
        "--N",
        "params",
        "--D",
        "D",
        "--metric",
        "loss",
        "-o",
        str(tmp_path / "s"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no column is called 'params'" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--attribute", "lr"], "write --attribute NAME=VALUE"),
        (["--unit", "loss=furlongs"], "column map's unit.loss does not fit"),
        (["--chance", "loss=much"], "column map's chance.loss does not fit"),
        (["--law-N", "N_total"], "no column for it was named"),
        (["--shared-loss", "los"], "did you mean loss"),
        (["--unit", "acc=accuracy"], "no metric is called 'acc'"),
    ],
)
def test_an_option_that_does_not_fit_is_told(file, tmp_path, words, match):
    done = invoke("table", file, "--N", "N", "--D", "D", "--metric", "loss", *words, "-o", tmp_path / "s")
    assert match in str(done.exception)


def test_the_native_sources_are_read(tmp_path):
    done = invoke("gadre", testbeds() / "gadre", "--json", "-o", tmp_path / "g")
    assert json.loads(done.stdout)["runs"] == 104
    done = invoke("olmo-ladder", testbeds() / "olmo-ladder", "-o", tmp_path / "o")
    assert "2 held out (13B-5T, 7B-4T)" in done.stdout


def test_a_study_below_a_file_cannot_be_written(file, tmp_path):
    done = invoke("table", file, "--N", "N", "--D", "D", "--metric", "loss", "-o", file / "s")
    assert "cannot be written" in str(done.exception)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['foretell', 'read', 'table', '--help']\n"
        "from foretell.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit(', '.join({'numpy', 'polars', 'sympy', 'numba', 'scipy', 'pooch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
