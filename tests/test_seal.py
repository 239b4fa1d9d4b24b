"""A sealed forecast stays as it was, and is scored against the run it was of."""

import hashlib
import json
from datetime import UTC, datetime

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from foretell import api
from foretell.cli.score import score
from foretell.cli.seal import seal as seal_verb
from foretell.errors import ForetellError, SourceError, StudyError, UnknownName
from foretell.forecast import Forecast, Settings, Target
from foretell.forecast.seal import canonical, digest_of, open_seal, seal
from foretell.judge.sealed import Verdict, crps, results_in, score_seal
from foretell.sources.results import Result, read_results
from foretell.table import metric_named, save_study
from ladders import ladder, sigmoid_task

SETTINGS = Settings(draws=60, starts=16)
TARGET = Target(7e9, 7e11)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

app = typer.Typer(pretty_exceptions_enable=False)
app.command("seal")(seal_verb)
app.command("score")(score)


@pytest.fixture(scope="module")
def study():
    return ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)])


@pytest.fixture(scope="module")
def forecasts(study):
    return api.predict(study, [TARGET], ["easy/acc", "c4/loss"], settings=SETTINGS)


@pytest.fixture
def sealed(study, forecasts, tmp_path):
    path = tmp_path / "forecast.json"
    return seal(forecasts, study, path, settings=SETTINGS, study="my study", version="1.2", now=NOON), path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


# -- seal -----------------------------------------------------------------------------------------------------------


def test_a_seal_gives_back_what_was_sealed(study, forecasts, sealed):
    made, path = sealed
    read = open_seal(path, made.digest[:12])
    assert (read.sealed, read.version, read.study) == ("2026-01-02T12:00:00Z", "1.2", "my study")
    assert read.data == digest_of(study.training())
    assert read.settings["draws"] == 60
    for before, after in zip(forecasts, read.forecasts, strict=True):
        assert (after.target.label, after.metric, after.value) == (before.target.label, before.metric, before.value)
        assert after.interval(0.8) == pytest.approx(before.interval(0.8), rel=1e-7)
        assert after.doubts == before.doubts


def test_the_digest_is_that_of_the_canonical_content_and_anyone_can_check_it(sealed):
    made, path = sealed
    content = json.loads(path.read_text())["content"]
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(plain.encode()).hexdigest() == made.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["forecasts"][0].update(value=0.9),
        lambda content: content["forecasts"][0]["draws"].pop(),
        lambda content: content["forecasts"][0]["intervals"].update({"0.8": [0.0, 1.0]}),
        lambda content: content["forecasts"].pop(),
        lambda content: content.update(sealed="2020-01-01T00:00:00Z"),
        lambda content: content["data"].update(sha256="0" * 64),
    ],
)
def test_whatever_is_changed_after_sealing_breaks_the_seal(sealed, change):
    _, path = sealed
    told = json.loads(path.read_text())
    change(told["content"])
    path.write_text(json.dumps(told))
    with pytest.raises(SourceError, match=r"seal of .*forecast\.json is broken"):
        open_seal(path)


def test_a_file_sealed_anew_is_not_the_one_that_was_published(study, forecasts, sealed, tmp_path):
    made, _ = sealed
    other = tmp_path / "other.json"
    seal(forecasts[:1], study, other, settings=SETTINGS, now=NOON)
    with pytest.raises(SourceError, match="not the forecast that was published"):
        open_seal(other, made.digest)
    with pytest.raises(SourceError, match="not the forecast that was published"):
        open_seal(other, open_seal(other).digest[:4])  # four digits are guessed too soon


def test_a_file_that_only_changes_its_spaces_still_holds(sealed):
    made, path = sealed
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert open_seal(path).digest == made.digest


def test_a_sealed_forecast_is_never_overwritten(study, forecasts, sealed):
    _, path = sealed
    before = path.read_bytes()
    with pytest.raises(StudyError, match="never overwritten"):
        seal(forecasts, study, path, settings=SETTINGS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"sha256": 1}', '{"sha256": "x", "content": ' + "[" * 9000])
def test_a_file_that_is_no_seal_is_refused_with_one_message(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SourceError):
        open_seal(path)


def test_a_sealed_content_of_the_wrong_kind_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for content in ({"format": 1}, [1], {"format": 99}, {"forecasts": [{"value": "x"}]}):
        path.write_text(json.dumps({"sha256": hashlib.sha256(canonical(content)).hexdigest(), "content": content}))
        with pytest.raises(SourceError):
            open_seal(path)


def test_the_digest_of_data_does_not_depend_on_the_order_of_rows_or_columns(study):
    from dataclasses import replace

    shuffled = replace(
        study,
        runs=study.runs.sample(fraction=1.0, shuffle=True, seed=1).select(*reversed(study.runs.columns)),
        values=study.values.sample(fraction=1.0, shuffle=True, seed=2),
    )
    assert digest_of(shuffled) == digest_of(study)
    other = replace(study, values=study.values.with_columns(value=study.values["value"] * (1 + 1e-12)))
    assert digest_of(other) != digest_of(study)


# -- score ----------------------------------------------------------------------------------------------------------


def verdict(draws, measured):
    made = Forecast(TARGET, metric_named("c4/loss"), "ladder", 2.0, np.asarray(draws, float), frozenset(), 1.0)
    return Verdict(made, measured)


def test_crps_is_that_of_the_normal_it_was_drawn_from():
    draws = np.random.default_rng(0).normal(size=200_000)
    # Gneiting & Raftery 2007, Eq. 21 and the closed form for a normal at y = 0.5
    from math import erf, exp, pi, sqrt

    y = 0.5
    exact = y * erf(y / sqrt(2)) + 2 * exp(-(y**2) / 2) / sqrt(2 * pi) - 1 / sqrt(pi)
    assert crps(draws, y) == pytest.approx(exact, abs=2e-3)


def test_crps_of_one_draw_is_the_absolute_error():
    assert crps(np.array([2.0]), 3.5) == pytest.approx(1.5)


def test_crps_is_the_double_mean_it_is_defined_by():
    draws = np.random.default_rng(1).gamma(2.0, size=70)
    plain = np.mean(np.abs(draws - 1.0)) - 0.5 * np.mean(np.abs(draws[:, None] - draws[None, :]))
    assert crps(draws, 1.0) == pytest.approx(plain, rel=1e-12)


def test_pit_says_where_the_measurement_lies_among_the_draws():
    assert verdict([1, 2, 3, 4], 2.5).pit == 0.5
    assert verdict([1, 2, 3, 4], 9.0).pit == 1.0
    assert verdict([1, 2, 2, 3], 2.0).pit == 0.5


def test_errors_have_the_sign_of_forecast_minus_measured():
    made = verdict([1.9, 2.0, 2.1], 2.5)
    assert made.error == pytest.approx(-0.5)
    assert made.relative_error == pytest.approx(-0.2)


def test_results_from_the_study_are_those_of_the_run_that_was_the_target(study, sealed):
    made, _ = sealed
    results = results_in(made, study)
    assert {result.metric for result in results} == {"easy/acc", "c4/loss"}
    verdicts, absent = score_seal(made, results)
    assert not absent
    assert {v.measured for v in verdicts} == {
        float(study.held_out().metric(name).value[0]) for name in ("easy/acc", "c4/loss")
    }


def test_results_of_a_study_without_the_target_are_refused(study, sealed):
    made, _ = sealed
    with pytest.raises(SourceError, match=r"another target.*largest is"):
        results_in(made, study.training())


def test_results_may_name_the_task_alone_and_what_was_not_measured_is_told(sealed):
    verdicts, absent = score_seal(sealed[0], [Result("easy", 0.8)])
    assert [v.forecast.metric.name for v in verdicts] == ["easy/acc"]
    assert absent == ["c4/loss"]


@pytest.mark.parametrize(
    ("results", "kind", "said"),
    [
        ([Result("other/acc", 0.5)], UnknownName, "no sealed metric is called 'other/acc'"),
        ([Result("easy/acc", 80.0)], SourceError, "divide percentages by 100"),
        ([Result("c4/loss", -1.0)], SourceError, "positive"),
        ([Result("easy/acc", 0.8, N=1.3e10, D=5e12)], SourceError, "another target, N = 13B, D = 5T"),
        ([Result("easy/acc", 0.8, target="13B-5T")], SourceError, "another target"),
    ],
)
def test_results_that_are_not_of_the_sealed_forecast_are_refused(sealed, results, kind, said):
    with pytest.raises(kind, match=said):
        score_seal(sealed[0], results)


def test_with_several_targets_a_result_must_say_which_it_is_of(study, tmp_path):
    targets = [Target(7e9, 7e11, name="a"), Target(1.3e10, 5e12, name="b")]
    made = api.predict(study, targets, ["easy/acc"], settings=SETTINGS)
    sealed = seal(made, study, tmp_path / "two.json", settings=SETTINGS)
    with pytest.raises(SourceError, match="names none"):
        score_seal(sealed, [Result("easy/acc", 0.8)])
    verdicts, _ = score_seal(sealed, [Result("easy/acc", 0.8, target="b")])
    assert [v.forecast.target.label for v in verdicts] == ["b"]
    verdicts, _ = score_seal(sealed, [Result("easy/acc", 0.8, N=1.32e10, D=5e12)])
    assert [v.forecast.target.label for v in verdicts] == ["b"]


# -- results files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "metric,value\neasy/acc,0.8\nc4/loss,2.5\n",
        "\ufeffvalue , metric\r\n0.8,easy/acc\r\n2.5,c4/loss\r\n",
        '{"easy/acc": 0.8, "c4/loss": 2.5}',
        '[{"metric": "easy/acc", "value": 0.8}, {"metric": "c4/loss", "value": "2.5"}]',
        '{"N": "7B", "D": "0.7T", "values": {"easy/acc": 0.8, "c4/loss": 2.5}}',
    ],
)
def test_results_are_read_from_csv_and_json(tmp_path, text):
    path = tmp_path / "results"
    path.write_text(text, encoding="utf-8")
    assert {(result.metric, result.value) for result in read_results(path)} == {("easy/acc", 0.8), ("c4/loss", 2.5)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metric,score\na,1\n", "need the columns"),
        ("", "need the columns"),
        ("metric,value\n", "hold no value"),
        ("metric,value\na,x\n", "line 2"),
        ("metric,value\na,\n", "line 2"),
        ("metric,value\na,nan\n", "no finite number"),
        ("metric,value\na,1\na,1\n", "twice"),
        ("metric,value,N\na,1,zero\n", "line 2"),
        ("[1]", "entry 1"),
        ("{", "no JSON"),
        ('{"a": true}', "no finite number"),
        ('{"a": {"b": 1}}', "no finite number"),
    ],
)
def test_results_that_cannot_be_read_are_refused_with_their_place(tmp_path, text, said):
    path = tmp_path / "results"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=said):
        read_results(path)


def test_results_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "results"
    path.write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(SourceError, match="results is UTF-16, not UTF-8"):
        read_results(path)


# -- verbs ----------------------------------------------------------------------------------------------------------


def test_seal_and_score_from_the_command_line(study, tmp_path):
    save_study(study, tmp_path / "study")
    output = tmp_path / "forecast.json"
    words = ("seal", tmp_path / "study", "-N", "7B", "-D", "5xC", "--draws", "40", "--starts", "8", "-o", output)
    made = run(*words, "-m", "ladder", "-m", "direct")
    assert made.exit_code == 0, made.exception
    digest = json.loads(output.read_text())["sha256"]
    assert digest in made.output.replace("\n", "")
    assert isinstance(run(*words).exception, StudyError)
    told = run("score", output, tmp_path / "study", "--json", "--digest", digest[:12])
    assert told.exit_code == 0, told.exception
    verdicts = json.loads(told.output)["verdicts"]
    assert {v["method"] for v in verdicts} == {"ladder", "direct"}
    for v in verdicts:
        assert set(v["inside"]) == set(v["interval_score"]) == {"0.5", "0.8", "0.9", "0.95"}
        low, high = v["intervals"]["0.8"]
        assert v["inside"]["0.8"] == (low <= v["measured"] <= high)
    shown = run("score", output, tmp_path / "study")
    assert "ladder: off by" in shown.output
    assert "the seal holds" in shown.output


def test_score_says_that_a_forecast_was_tampered_with(sealed, tmp_path):
    _, path = sealed
    path.write_text(path.read_text().replace('"value": 0.', '"value": 0.1', 1))
    results = tmp_path / "results.csv"
    results.write_text("metric,value\neasy/acc,0.8\n")
    told = run("score", path, results)
    assert isinstance(told.exception, ForetellError)
    assert "broken" in str(told.exception)
