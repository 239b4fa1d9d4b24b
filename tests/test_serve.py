"""The served report is this machine's alone, and follows its study; so does the table in the terminal."""

import http.client
import io
import json
import os
import threading
import time

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.cli.watch import TARGET, forecast_ends, picture, watch
from foretell.errors import ForetellError, StudyError
from foretell.forecast import Target
from foretell.report.progress import Ends, Progress, duration, is_over, read_progress, read_waiting
from foretell.report.serve import Shown, serve_page, study_version
from foretell.table import save_study
from ladders import ladder, sigmoid_task


@pytest.fixture
def served():
    state = {"version": "1", "built": []}

    def build(version):
        state["built"].append(version)
        if version == "bad":
            raise ForetellError("<b>half-written</b>")
        return f"<p>page {version}</p>"

    server = serve_page(Shown(lambda: state["version"], build), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server, state
    server.shutdown()
    thread.join()
    server.server_close()


def ask(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    try:
        connection.request(method, path, headers={"Host": f"127.0.0.1:{server.server_address[1]}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


# -- serve ----------------------------------------------------------------------------------------------------------


def test_it_listens_on_the_loopback_address_and_refuses_any_other(served):
    assert served[0].server_address[0] == "127.0.0.1"
    for host in ("0.0.0.0", "", "192.168.1.4", "example.org", "::"):
        with pytest.raises(ForetellError, match="loopback"):
            serve_page(Shown(str, str), 0, host=host)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil"])
def test_a_request_under_another_name_is_refused(served, host):
    status, text, _ = ask(served[0], Host=host)
    assert status == 403
    assert "page" not in text


def test_localhost_is_this_machine_too(served):
    assert ask(served[0], Host=f"localhost:{served[0].server_address[1]}")[0] == 200


def test_there_is_one_page_and_one_question(served):
    server, _ = served
    assert ask(server)[:2] == (200, "<p>page 1</p>")
    assert json.loads(ask(server, "/version")[1]) == {"version": "1"}
    for path in ("/../etc/passwd", "/study.toml", "/version/", "/?x"):
        assert ask(server, path)[0] == 404
    assert ask(server, method="POST")[0] == 501
    assert ask(server, method="HEAD")[:2] == (200, "")


def test_the_page_is_made_once_for_each_version(served):
    server, state = served
    for _ in range(3):
        ask(server)
    state["version"] = "2"
    assert ask(server)[1] == "<p>page 2</p>"
    assert state["built"] == ["1", "2"]


def test_a_study_that_cannot_be_read_is_told_as_text_and_tried_again(served):
    server, state = served
    state["version"] = "bad"
    status, text, _ = ask(server)
    assert status == 200
    assert "&lt;b&gt;half-written" in text
    assert "<b>" not in text
    state["version"] = "3"
    assert "page 3" in ask(server)[1]


def test_answers_are_not_kept_nor_framed(served):
    headers = ask(served[0])[2]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_port_that_is_taken_is_told(served):
    with pytest.raises(ForetellError, match="choose another"):
        serve_page(Shown(str, str), served[0].server_address[1])
    with pytest.raises(ForetellError, match="does not exist"):
        serve_page(Shown(str, str), 70000)


def test_the_version_changes_when_runs_arrive(tmp_path):
    assert study_version(tmp_path / "none") == study_version(tmp_path / "other")
    save_study(ladder(0.0, sizes=(1e9,), multiples=(1.0,)), tmp_path / "study")
    before = study_version(tmp_path / "study")
    assert before == study_version(tmp_path / "study")
    os.utime(tmp_path / "study" / "runs.parquet", ns=(1, 1))
    assert study_version(tmp_path / "study") != before


def test_a_ladder_is_served_before_its_first_run_has_ended_and_an_empty_folder_is_not(tmp_path, monkeypatch):
    class Ended:
        server_port = 8642

        def serve_forever(self):
            """Return at once, as after Ctrl-C."""

        server_close = serve_forever

    pages = []
    monkeypatch.setattr(
        "foretell.report.serve.serve_page", lambda shown, port, host: pages.append(shown.page()) or Ended()
    )
    assert isinstance(CliRunner().invoke(app, ["serve", str(tmp_path)]).exception, StudyError)
    assert pages == []
    (tmp_path / "progress").mkdir()
    done = CliRunner().invoke(app, ["serve", str(tmp_path)])
    assert done.exit_code == 0
    assert "No report yet" in pages[0]
    assert "StudyError" in pages[0]


def test_a_narrow_screen_shows_every_state_in_full_and_a_reason_once():
    found = [Progress(rung=f"rung {i}", state="training", tokens=5e8, D=1e9, time=0.0, loss=3.21) for i in range(3)]
    ends = {one.rung: Ends(one.rung, reason="no run has ended yet") for one in found}
    ends[TARGET] = Ends("7B on 4T", reason="no run has ended yet")
    for width in (80, 140):
        console = Console(width=width, file=io.StringIO())
        console.print(picture(found, [], ends, 0.0, width=width))
        said = console.file.getvalue()
        assert said.count("training ") >= 3
        assert said.count("no run has ended yet") == 1
        assert "…" not in said
        assert all(len(line) <= width for line in said.splitlines())


# -- watch ----------------------------------------------------------------------------------------------------------

TOLD = {
    "rung": "run 00", "step": 25, "steps": 100, "tokens": 2.5e8, "D": 1e9, "loss": 3.25, "lr": 1e-3,
    "tokens_per_second": 5e4, "state": "training", "message": "", "time": 1.7e9, "phase": "trunk",
}  # fmt: skip


def write(study, name, **more):
    (study / "progress").mkdir(parents=True, exist_ok=True)
    (study / "progress" / f"{name}.json").write_text(json.dumps({**TOLD, "rung": name, **more}))


def shown(found, unread=(), ends=None, now=1.7e9, most=None):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as told:
        console.print(picture(found, unread, ends or {}, now, most))
    return told.get()


def run(*words):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(watch)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_time_left_is_what_the_speed_says():
    progress = Progress(**TOLD)
    assert progress.share == 0.25
    assert progress.seconds_left == pytest.approx(7.5e8 / 5e4)
    assert Progress(**{**TOLD, "tokens_per_second": 0.0}).seconds_left is None
    assert Progress(**{**TOLD, "state": "done"}).seconds_left == 0.0
    assert Progress(**{**TOLD, "tokens": 2e9}).seconds_left == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (40, "40 s"),
        (725, "12 min"),
        (11100, "3 h 05 min"),
        (200000, "2 d 7 h"),
        (None, ""),
    ],
)
def test_durations_are_written_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path):
    write(tmp_path, "a")
    for name, text in (("b", "{"), ("c", "[]"), ("d", '{"rung": 1}'), ("e", "x" * 200_000)):
        (tmp_path / "progress" / f"{name}.json").write_text(text)
    (tmp_path / "progress" / ".a.json").write_text("{")
    found, unread = read_progress(tmp_path)
    assert [progress.rung for progress in found] == ["a"]
    assert unread == ["b.json", "c.json", "d.json", "e.json"]
    text = shown(found, unread)
    assert "progress/b.json could not be read" in text


def test_the_picture_shows_loss_speed_time_left_and_markup_as_text():
    text = shown(
        [Progress(**{**TOLD, "rung": "[red]x[/red]"}), Progress(rung="y", state="failed", message="[b]out of memory")]
    )
    for said in ("[red]x[/red]", "3.2500", "50K", "4 h 10 min", "25 %", "250M of 1B", "y failed: [b]out of memory"):
        assert said in text


def test_a_rung_that_says_nothing_for_long_is_called_silent():
    assert "silent" in shown([Progress(**TOLD)], now=1.7e9 + 3600)
    assert "silent" not in shown([Progress(**TOLD)], now=1.7e9 + 60)


def test_rungs_in_training_are_never_pushed_off_the_screen():
    found = [Progress(**{**TOLD, "rung": f"a{i}", "state": "done"}) for i in range(50)]
    found += [Progress(**{**TOLD, "rung": "y", "state": "failed"}), Progress(**{**TOLD, "rung": "z"})]
    text = shown(found, most=4)
    assert [word for word in text.split() if word in ("z", "y", "a0", "a1", "a2")] == ["z", "y", "a0", "a1", "y"]
    assert "50 of 52 rungs done" in text
    assert "48 are not shown" in text
    assert "not shown" not in shown(found)


def test_rungs_still_to_begin_are_named_and_waited_for(tmp_path):
    write(tmp_path, "a", state="done")
    for name, call in (("a", "train_one"), ("b", "train_one"), ("c", "train_one"), ("d", "train_one"), ("e", "score")):
        folder = tmp_path / "jobs" / name
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"call": f"foretell.ladder.training:{call}"}))
    (tmp_path / "jobs" / "c" / "error.json").write_text("{}")
    (tmp_path / "jobs" / "d" / "job.json").write_text("x" * 200_000)
    found, _ = read_progress(tmp_path)
    waiting = read_waiting(tmp_path, found)
    assert waiting == ["b"]
    assert is_over(found)
    assert not is_over(found, waiting)
    assert "1 of 2 rungs done; 1 still to begin (b)" in run(tmp_path, "--once").output


def test_what_has_ended_is_not_forecast():
    ends = {name: Ends(name, "c4/loss", 3.0, 2.9, 3.1) for name in ("over", "going")}
    text = shown(
        [Progress(**{**TOLD, "rung": "over", "state": "done"}), Progress(**{**TOLD, "rung": "going"})], ends=ends
    )
    assert text.count("3 [2.9, 3.1]") == 1
    assert "c4/loss at the end" in text


def test_it_ends_when_every_rung_has(tmp_path):
    assert not is_over([])
    assert not is_over([Progress(rung="a", state="done"), Progress(rung="b")])
    assert is_over([Progress(rung="a", state="done"), Progress(rung="b", state="failed")])
    write(tmp_path, "a", state="done")
    begin = time.monotonic()
    told = run(tmp_path, "--every", 0.1)
    assert told.exit_code == 0, told.exception
    assert time.monotonic() - begin < 30
    assert "1 of 1 rungs done" in told.output


def test_ends_are_forecast_from_the_runs_that_the_study_holds(tmp_path):
    study = ladder(0.003, tasks={"easy/acc": sigmoid_task})
    save_study(study, tmp_path / "study")
    row = study.runs.row(3, named=True)
    found = [Progress(rung="run 03", D=row["D"]), Progress(rung="new", D=1e11, N=2e9), Progress(rung="odd", D=1e11)]
    ends = forecast_ends(tmp_path / "study", found, [Target(7e9, 7e11)])
    measured = study.metric("c4/loss")
    assert ends["run 03"].value == pytest.approx(float(measured.value[measured.run == "run 03"][0]), rel=0.01)
    assert ends["new"].low < ends["new"].value < ends["new"].high
    assert ends["odd"].reason == "its N is not known yet"
    assert ends[TARGET].value < ends["new"].value


@pytest.mark.parametrize("runs", [0, 1])
def test_with_too_few_runs_it_says_so(tmp_path, runs):
    if runs:
        save_study(ladder(0.0, sizes=(1e9,), multiples=(1.0,)), tmp_path / "study")
    ends = forecast_ends(tmp_path / "study", [Progress(rung="a", D=1e9, N=1e8)], [Target(7e9, 7e11)])
    assert ends["a"].value is None
    assert ("too few" if runs else "no run has ended") in ends["a"].reason
    assert ends[TARGET].reason == ends["a"].reason


def test_machines_are_told_the_same(tmp_path):
    write(tmp_path, "a")
    told = json.loads(run(tmp_path, "--json").output)
    assert told["rungs"][0]["seconds_left"] == pytest.approx(15000)
    assert isinstance(run(tmp_path / "none").exception, StudyError)
    assert "no rung has started" in run(tmp_path.parent, "--once").output
