"""The mlflow reader gives what MLflow's client reads, from its SQLite file, its file store, and over REST."""

import http.server
import json
import shutil
import sqlite3
import threading
import urllib.parse

import pytest

from foretell.errors import SourceError
from foretell.sources import read_mlflow
from made_files import FIXTURES

FOLDER = FIXTURES / "mlflow"
TOLD = json.loads((FOLDER / "expected.json").read_text())
NAMES = {"train/loss": "train/loss", "eval/c4/loss": "c4/loss"}


def expected():
    return {
        (run, NAMES[key], float(step)): (step * 500_000.0, value)
        for run, metrics in TOLD.items()
        for key, points in metrics.items()
        if key in NAMES
        for step, value in points
    }


def values(made):
    return {(r["run"], r["metric"], r["step"]): (r["D"], r["value"]) for r in made.values.iter_rows(named=True)}


@pytest.mark.parametrize("store", ["mlflow.db", "mlruns"])
def test_both_stores_give_what_mlflow_reads(store):
    made = read_mlflow(FOLDER / store)
    assert values(made) == expected()
    assert dict(made.runs.select("name", "N").iter_rows()) == {"60M": 60e6, "150M": 150e6}
    assert any("no finite numbers" in note for note in made.notes)


class Server(http.server.BaseHTTPRequestHandler):
    """Answer as the tracking server does (checked against the real one by make_fixtures/mlflow_runs.py)."""

    broken = ""

    def log_message(self, *_):
        pass

    def answer(self, content, code=200):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.broken:
            return self.answer(
                *{"500": ({"error": "no"}, 500), "html": (b"<html>", 200), "list": ([], 200)}[self.broken]
            )
        if self.path.endswith("experiments/search"):
            return self.answer({"experiments": [{"experiment_id": "1", "name": "ladder"}]})
        runs = list(TOLD)
        at = int(asked.get("page_token", 0))
        run = runs[at]
        answer = {
            "runs": [
                {
                    "info": {"run_id": f"id-{run}", "run_name": run, "experiment_id": "1"},
                    "data": {
                        "metrics": [{"key": key, "value": 0} for key in TOLD[run]],
                        "params": [{"key": "num_non_embedding_params", "value": run.replace("M", "000000")}],
                    },
                }
            ]
        }
        return self.answer(answer | ({"next_page_token": str(at + 1)} if at + 1 < len(runs) else {}))

    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.path).query))
        points = TOLD[asked["run_id"].removeprefix("id-")][asked["metric_key"]]
        half = int(asked.get("page_token", 0))
        part = points[: len(points) // 2] if not half else points[len(points) // 2 :]
        answer = {"metrics": [{"key": asked["metric_key"], "step": step, "value": value} for step, value in part]}
        self.answer(answer | ({} if half else {"next_page_token": "1"}))


@pytest.fixture
def server():
    Server.broken = ""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}/"
        made.shutdown()
        thread.join()


def test_a_server_gives_the_same_over_several_pages(server):
    made = read_mlflow(server)
    assert values(made) == expected()
    assert dict(made.runs.select("name", "N").iter_rows()) == {"60M": 60e6, "150M": 150e6}


@pytest.mark.parametrize(("kind", "said"), [("500", "refuses with 500"), ("html", "not JSON"), ("list", "no object")])
def test_a_server_that_answers_otherwise_is_named(server, kind, said):
    Server.broken = kind
    with pytest.raises(SourceError, match=said):
        read_mlflow(server)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(SourceError, match="does not answer"):
        read_mlflow("http://127.0.0.1:9")


def test_an_experiment_is_chosen_by_name_and_the_others_are_listed():
    assert len(read_mlflow(FOLDER / "mlflow.db", experiment="ladder").runs) == 2
    with pytest.raises(SourceError, match=r"no runs of 'other'; experiments are ladder"):
        read_mlflow(FOLDER / "mlflow.db", experiment="other")


def test_deleted_runs_are_left_out(tmp_path):
    shutil.copyfile(FOLDER / "mlflow.db", tmp_path / "a.db")
    database = sqlite3.connect(tmp_path / "a.db")
    with database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = '60M'")
    database.close()
    assert read_mlflow(tmp_path / "a.db").runs["name"].to_list() == ["150M"]


def test_a_database_is_not_changed_and_its_views_are_not_run(tmp_path):
    shutil.copyfile(FOLDER / "mlflow.db", tmp_path / "a.db")
    database = sqlite3.connect(tmp_path / "a.db")
    with database:
        database.execute("ALTER TABLE metrics RENAME TO hidden")
        database.execute("CREATE VIEW metrics AS SELECT * FROM hidden")
    database.close()
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(SourceError, match="lacks the tables metrics"):
        read_mlflow(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_damaged_store_is_refused_with_its_file(tmp_path):
    content = bytearray((FOLDER / "mlflow.db").read_bytes())
    content[5000:60000] = b"\x55" * 55000
    (tmp_path / "a.db").write_bytes(content)
    (tmp_path / "b.db").write_bytes(b"no database")
    content = (FOLDER / "mlflow.db").read_bytes()
    (tmp_path / "c.db").write_bytes(content.replace(b"tablemetrics", b"table\x80etrics", 1))
    for name in ("a.db", "b.db", "c.db", "none.db"):
        with pytest.raises(SourceError, match=name):
            read_mlflow(tmp_path / name)


def test_a_cut_line_of_a_file_store_is_named(tmp_path):
    shutil.copytree(FOLDER / "mlruns", tmp_path / "mlruns")
    file = next((tmp_path / "mlruns").rglob("metrics/train/loss"))
    file.write_text(file.read_text() + "17953294\n")
    with pytest.raises(SourceError, match=rf"line 7 of {file}"):
        read_mlflow(tmp_path / "mlruns")
