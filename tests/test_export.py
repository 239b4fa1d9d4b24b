"""What is exported is what was forecast, and no tool that reads it is tricked into running it."""

import csv
import io
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from foretell import api
from foretell.cli.export import export
from foretell.cli.plot import plot
from foretell.errors import ForetellError, MethodError, UnknownName
from foretell.forecast import Forecast, Settings, Target
from foretell.forecast.seal import seal
from foretell.report.export import (
    FORMATS,
    csv_text,
    fit_rows,
    forecast_rows,
    json_text,
    latex,
    latex_text,
    write_rows,
    write_whole,
)
from foretell.report.mlflow_run import log_forecasts, metrics_of, plain_name
from foretell.table import metric_named, save_study
from ladders import ladder, sigmoid_task

SETTINGS = Settings(draws=40, starts=8)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0")

app = typer.Typer(pretty_exceptions_enable=False)
app.command("export")(export)
app.command("plot")(plot)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("export")
    save_study(ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)]), made / "study")
    return made


@pytest.fixture(scope="module")
def forecasts(folder):
    return api.predict(api.open(folder / "study"), [], ["easy/acc", "c4/loss"], settings=SETTINGS)


def named(metric, target="t"):
    return Forecast(
        Target(7e9, 1e12, name=target), metric_named(metric), "ladder", -0.5, np.linspace(-1, 1, 50), frozenset(), 1.0
    )


# -- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_made_text_and_numbers_stay_numbers(formula):
    row = next(csv.DictReader(io.StringIO(csv_text(forecast_rows([named(formula, formula)])), newline="")))
    assert row["metric"] == row["target"] == f"'{formula}"
    assert float(row["value"]) == -0.5
    assert float(row["low_80"]) == pytest.approx(-0.8)


def test_csv_json_and_parquet_hold_the_same_numbers(forecasts, tmp_path):
    rows = forecast_rows(forecasts)
    for to in ("csv", "json", "parquet"):
        write_rows(rows, tmp_path / to, to)
    from_csv = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
    from_json = json.loads((tmp_path / "json").read_text())
    from_parquet = pl.read_parquet(tmp_path / "parquet").to_dicts()
    for forecast, a, b, c in zip(forecasts, from_csv, from_json, from_parquet, strict=True):
        low, high = forecast.interval(0.9)
        assert float(a["value"]) == b["value"] == c["value"] == forecast.value
        assert float(a["low_90"]) == b["low_90"] == c["low_90"] == low
        assert float(a["high_90"]) == b["high_90"] == c["high_90"] == high
        assert a["metric"] == b["metric"] == c["metric"] == forecast.metric.name


def test_a_hole_is_empty_and_never_a_zero():
    rows = [{"name": "a", "value": float("nan")}, {"name": "b", "value": None}]
    assert csv_text(rows) == "name,value\r\na,\r\nb,\r\n"
    assert [row["value"] for row in json.loads(json_text(rows))] == [None, None]
    assert "a & -- \\\\" in latex_text(rows)


def test_latex_shows_names_as_they_are():
    assert latex(r"a_b & 50 % $x$ {y} \input{/etc/passwd} ~^#<>") == (
        r"a\_b \& 50 \% \$x\$ \{y\} \textbackslash{}input\{/etc/passwd\} \textasciitilde{}\textasciicircum{}\#"
        r"\textless{}\textgreater{}"
    )


def test_latex_has_a_row_a_forecast_in_points(forecasts):
    text = latex_text(forecast_rows(forecasts), "Ours")
    assert text.count("\\\\\n") == 1 + len(forecasts)
    assert f"& {100 * forecasts[0].value:.1f} &" in text
    assert r"\caption{Ours}" in text


def test_fits_are_exported_by_name_with_their_bounds(folder):
    study = api.open(folder / "study")
    fit = api.fit_metric(study, "chinchilla", "c4/loss", starts=16, draws=40)
    rows = {row["coefficient"]: row for row in fit_rows([fit])}
    assert set(rows) == {"E", "A", "B", "alpha", "beta"}
    for name, (low, high) in fit.intervals(0.8).items():
        assert (rows[name]["value"], rows[name]["low"], rows[name]["high"]) == (fit.coefficients[name], low, high)


def test_an_unknown_format_and_an_empty_list_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="xlsx"):
        write_rows([{"a": 1}], tmp_path / "x", "xlsx")
    with pytest.raises(ForetellError, match="nothing to write"):
        write_rows([], tmp_path / "x", "csv")
    with pytest.raises(ForetellError, match="cannot be written"):
        write_rows([{"a": 1}], tmp_path / "none" / "x", "csv")
    assert not list(tmp_path.iterdir())


# -- MLflow ---------------------------------------------------------------------------------------------------------


class FakeClient:
    """Keep what a tracking server would be sent."""

    def __init__(self, tracking_uri):
        self.log.append(("uri", tracking_uri))

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="7") if name == "there" else None

    def create_experiment(self, name):
        self.log.append(("experiment", name))
        return "8"

    def create_run(self, experiment, run_name, tags):
        self.log.append(("run", experiment, run_name, tags))
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run-{len(self.log)}"))

    def log_batch(self, run, metrics, params):
        self.log.append(("batch", {m.key: m.value for m in metrics}, {p.key: p.value for p in params}))

    def log_text(self, run, text, name):
        self.log.append(("text", name, text))

    def set_terminated(self, run):
        self.log.append(("end", run))


@pytest.fixture
def mlflow(monkeypatch):
    made, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    client = type("Client", (FakeClient,), {"log": []})
    made.MlflowClient, made.entities = client, entities
    made.exceptions = SimpleNamespace(MlflowException=type("MlflowException", (Exception,), {}))
    entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value)
    entities.Param = lambda key, value: SimpleNamespace(key=key, value=value)
    monkeypatch.setitem(sys.modules, "mlflow", made)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return client


def test_a_forecast_is_logged_as_a_run_of_the_experiment_of_its_runs(mlflow, forecasts):
    ids = log_forecasts(forecasts, "http://127.0.0.1:5000", "there", about={"foretell.runs": "a, b"})
    told = {entry[0]: entry for entry in mlflow.log}
    assert "experiment" not in told
    assert told["run"][1] == "7"
    assert told["run"][3]["foretell.runs"] == "a, b"
    metrics, params = told["batch"][1:]
    assert metrics["easy/acc"] == forecasts[0].value
    assert (metrics["easy/acc/low"], metrics["easy/acc/high"]) == forecasts[0].interval(0.8)
    assert params["method"] == "ladder"
    assert json.loads(told["text"][2])[0]["value"] == forecasts[0].value
    assert told["end"][1] == ids[0]


def test_names_are_made_such_that_mlflow_takes_them_and_stay_apart():
    assert plain_name("arc|easy (5 shot)/acc=") == "arc_easy _5 shot_/acc_"
    assert ".." not in plain_name("../../x").split("/")
    assert plain_name("") == "_"
    found = metrics_of([named("a|b"), named("a:b")])
    assert {"a_b", "a_b_"} <= set(found)


def test_without_mlflow_it_is_said_how_to_install_it(monkeypatch, forecasts):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ForetellError, match=r"pip install 'foretell\[track\]'"):
        log_forecasts(forecasts, "x", "y")


# -- verbs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", FORMATS)
def test_a_study_and_a_sealed_forecast_are_exported(folder, tmp_path, forecasts, to):
    sealed = tmp_path / "sealed.json"
    seal(forecasts, api.open(folder / "study"), sealed, settings=SETTINGS)
    for source in (folder / "study", sealed):
        output = tmp_path / f"{source.name}.out"
        quick = ("--draws", 40, "--starts", 8, "--metric", "easy")
        told = run("export", source, "--to", to, "-o", output, *(quick if source.is_dir() else ()))
        assert told.exit_code == 0, told.exception
        assert output.stat().st_size > 100


def test_export_says_what_it_lacks(folder):
    study = folder / "study"
    assert "--uri" in str(run("export", study, "--to", "mlflow").exception)
    assert "-o FILE" in str(run("export", study, "--to", "csv").exception)
    assert isinstance(run("export", study, "--to", "xlsx").exception, UnknownName)
    told = run("export", study, "--to", "csv", "-o", folder / "x", "--fits", "--method", "auto", "--draws", 20)
    assert isinstance(told.exception, MethodError)


@pytest.mark.parametrize("kind", ["forecast", "ladder", "residuals", "backtest", "coverage"])
def test_every_figure_is_drawn_at_the_width_that_was_asked_for(folder, tmp_path, kind):
    output = tmp_path / "figure.png"
    told = run("plot", kind, folder / "study", "-o", output, "--draws", 40, "--starts", 8, "--metric", "c4/loss")
    assert told.exit_code == 0, told.exception
    header = output.read_bytes()[:24]
    width = int.from_bytes(header[16:20], "big")
    assert header.startswith(b"\x89PNG")
    if kind != "forecast":  # which is as wide as its targets are many
        assert width == round(3.3 * 300)


def test_a_figure_that_does_not_exist_is_refused_before_anything_is_fitted(tmp_path):
    for words in (
        ("pie", "x", "-o", "a.pdf"),
        ("ladder", "x", "-o", "a.pdf", "--width", "9"),
    ):
        assert isinstance(run("plot", *words).exception, UnknownName)
    assert "a.exe ends in '.exe'" in str(run("plot", "ladder", "x", "-o", "a.exe").exception)


@pytest.mark.parametrize("place", [".", "folder"])
def test_a_folder_in_place_of_a_file_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ForetellError, match="it is a folder"):
        write_whole(place, b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
