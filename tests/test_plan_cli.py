"""`foretell plan` prints a plan, writes it, and refuses what makes no sense."""

import json

import pytest
import typer
from typer.testing import CliRunner

from foretell.cli.plan import plan
from foretell.errors import ForetellError
from foretell.rung import read_ladder
from foretell.table import save_study
from ladders import ladder

TINY = ["-N", "3M", "-D", "60M", "--budget", "10%", "--vocabulary", "264", "--sequence", "256"]
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(plan)


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_plan_is_printed_and_written(tmp_path):
    file = tmp_path / "ladder.toml"
    said = run(*TINY, "-o", str(file), "--mix", "code=0.4", "--mix", "prose=0.6")
    for word in ("6ND", "of the budget", "cpu hours", "expected", "which run next"):
        assert word in said
    text = file.read_text()
    assert "arXiv 2405.18392" in text
    assert "OLMo ladder" in text
    assert read_ladder(file).rungs[0].weights == {"code": 0.4, "prose": 0.6}


def test_without_a_mixture_the_file_shows_how_to_give_one(tmp_path):
    run(*TINY, "-o", str(tmp_path / "ladder.toml"))
    assert "# weights = {" in (tmp_path / "ladder.toml").read_text()


def test_json_says_the_same_as_the_file(tmp_path):
    file = tmp_path / "ladder.toml"
    said = json.loads(run(*TINY, "--json", "-o", str(file), "--device", "a100", "--mfu", "0.5", "--devices", "4"))
    rungs = read_ladder(file).rungs
    assert [rung["name"] for rung in said["rungs"]] == [rung.name for rung in rungs]
    assert [rung["D"] for rung in said["rungs"]] == [list(rung.D) for rung in rungs]
    assert said["flop"] == pytest.approx(sum(rung.training_flop for rung in rungs))
    assert said["hours"] == pytest.approx(said["flop"] / (312e12 * 0.5) / 3600)
    assert said["flop"] <= said["budget"] == pytest.approx(0.1 * said["target"]["flop"])
    assert said["expected"]["half_width"] <= said["expected"]["whole"]
    assert rungs[0].precision == "bf16"


def test_a_study_says_which_run_next(tmp_path):
    save_study(ladder(), tmp_path / "study")
    arguments = ["--study", str(tmp_path / "study"), "-N", "7B", "-D", "4T", "--budget", "1e21"]
    assert "which run next" in run(*arguments)
    said = json.loads(run(*arguments, "--json", "-o", str(tmp_path / "next.toml")))
    best = said["next"][0]
    assert best["flop"] <= 1e21
    assert best["expected"]["spread"] < said["expected"]["spread"]
    assert [rung.name for rung in read_ladder(tmp_path / "next.toml").rungs] == [best["name"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--budget", "0%"], "more than nothing"),
        (["--budget", "abc"], "cannot be read"),
        (["--budget", "100%"], "pays for the target itself"),
        (["--budget", "1"], "too small"),
        (["--device", "h1000"], "known: a100"),
        (["--mfu", "0"], "share of the peak"),
        (["--devices", "0"], "train nothing"),
        (["-N", "seven"], "cannot be read"),
        (["-D", "0"], "positive"),
        (["--rungs", "1"], "tells nothing of size"),
        (["--horizons", "1"], "single ray"),
        (["--multiples", "1,2"], "single D/N ray"),
        (["--multiples", "1,x"], "cannot be read"),
        (["--recipe", "guess"], "known: olmo, step-law"),
        (["--schedule", "linear"], "cosine"),
        (["--mix", "code=0.4"], "sum to 0.4"),
        (["--mix", "code"], "not SOURCE=SHARE"),
        (["--law", "bnsl"], "no prior ships"),
        (["--study", "/nowhere"], "there is no study"),
    ],
)
def test_bad_input_is_refused_with_the_reason(change, said):
    with pytest.raises(ForetellError, match=said):
        run(*TINY, *change)


def test_a_file_is_not_overwritten_unless_forced(tmp_path):
    file = tmp_path / "ladder.toml"
    file.write_text("mine")
    with pytest.raises(ForetellError, match="exists"):
        run(*TINY, "-o", str(file))
    assert file.read_text() == "mine"
    run(*TINY, "-o", str(file), "--force")
    assert read_ladder(file).rungs
