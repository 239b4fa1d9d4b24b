"""Published sets by name: pinned files, from a folder or fetched over HTTP, become studies."""

import contextlib
import functools
import hashlib
import http.server
import json
import shutil
import threading
import tomllib
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.errors import SourceError, UnknownName
from foretell.sources import fetch_published, published_sets, read, read_olmo_ladder, read_published
from foretell.table import open_study
from protocols import testbeds

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src" / "foretell" / "shipped" / "published"
RUNS = {"chinchilla": 245, "gadre": 104, "olmo-ladder": 18}


@pytest.fixture(autouse=True)
def no_testbeds(monkeypatch):
    monkeypatch.delenv("FORETELL_TESTBEDS", raising=False)


@functools.cache
def whole(name):
    return read_published(name, folder=testbeds() / name)


def value(study, run, metric):
    of_run = study.values.filter((pl.col("run") == run) & (pl.col("metric") == metric)).sort("D")
    return of_run["D"][-1], of_run["value"][-1]


def copied(name, to, *, below=""):
    """Copy a set's files into a folder, laid out as the repository has them below `below`."""
    published = published_sets()[name]
    for path in published.files:
        place = to / below / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(published.place(testbeds() / name, path), place)
    return to


@contextlib.contextmanager
def serving(folder):
    """Serve a folder on loopback; give its address and the paths asked for."""
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", asked
        finally:
            server.shutdown()
            thread.join()


def invoke(*words):
    return CliRunner().invoke(app, ["read", "published", *map(str, words)])


# -- what is pinned -------------------------------------------------------------------------------------------------


def test_every_set_says_origin_licence_and_source_and_pins_whole_hashes():
    assert set(published_sets()) == set(RUNS) == {file.stem for file in SHIPPED.iterdir()}
    for one in published_sets().values():
        assert len(one.commit) == 40
        assert one.base_url.startswith(f"https://raw.githubusercontent.com/{one.origin}/{one.commit}/")
        assert one.citation.startswith("arXiv ")
        assert one.about
        assert one.licence
        assert all(len(sha256) == 64 and int(sha256, 16) for sha256 in one.files.values())


def test_no_entry_of_a_set_is_unknown_and_the_files_are_plain_data():
    for file in SHIPPED.iterdir():
        content = tomllib.loads(file.read_text())
        assert content["reader"] in {"gadre", "olmo-ladder", "table"}
        assert not any(path.startswith("/") or ".." in path for path in content["files"])


@pytest.mark.parametrize("name", RUNS)
def test_the_pinned_files_are_the_testbeds(name):
    published = published_sets()[name]
    for path, sha256 in published.files.items():
        file = published.place(testbeds() / name, path)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256, path


def test_every_json_of_gadre_is_pinned():
    folder = testbeds() / "gadre" / "exp_data"
    there = {f"{file.parent.name}/{file.name}" for kind in ("models", "evals") for file in (folder / kind).iterdir()}
    assert there | {"eval_metadata.csv"} == set(published_sets()["gadre"].files)


# -- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_set_becomes_a_study_of_its_runs(name):
    assert len(whole(name).runs) == RUNS[name]
    one = published_sets()[name]
    assert whole(name).notes[0] == (
        f"{one.origin} at {one.commit[:7]}, {one.citation}; licence: {one.licence}"
    )  # fmt: skip
    assert set(one.notes) <= set(whole(name).notes)


def test_chinchilla_is_the_figures_rows_with_D_out_of_compute():
    study = whole("chinchilla")
    run = study.runs.filter(name="chinchilla:0001").row(0, named=True)
    assert run["N"] == 6795600349.289497
    assert run["C"] == 9.993852799709755e18
    assert run["D"] == pytest.approx(run["C"] / (6 * run["N"]), rel=1e-15)
    assert value(study, "chinchilla:0001", "loss")[1] == 5.005581996196243
    assert value(study, "chinchilla:0245", "loss")[1] == 2.0773942450664395
    assert study.metrics["loss"].unit == "nats/token"


def test_the_five_highest_losses_are_kept_unless_they_are_left_out_as_the_note_says():
    study = whole("chinchilla")
    (note,) = (note for note in study.notes if "5 highest" in note)
    condition = note.split("--where '")[1].rstrip("'")
    less = read_published("chinchilla", folder=testbeds() / "chinchilla", where=condition)
    assert len(less.runs) == 240
    dropped = set(study.runs["name"]) - set(less.runs["name"])
    highest = study.values.sort("value", descending=True)["run"][:5]
    assert dropped == set(highest)


def test_gadre_is_read_with_its_two_sites():
    study = whole("gadre")
    assert value(study, "c4_original-d=96_l=8_h=4-1.0", "c4/loss") == (211386240.0, 5.220676313056785)
    assert value(study, "c4_original-d=96_l=8_h=4-1.0", "arc_easy/acc")[1] == 0.2777777910232544
    sites = study.runs.filter(pl.col("name") == "rw_original-open_lm_1b-16.0")["site"][0]
    assert (study.runs["site"] == sites).sum() == 12
    lr = dict(study.runs.group_by(pl.col("shape") == "open_lm_7b").agg(pl.col("lr").unique()).iter_rows())
    assert lr[True] == [3e-4]
    assert 3e-4 not in lr[False]


def test_the_ladders_targets_are_held_out():
    study = whole("olmo-ladder")
    assert set(study.held_out().runs["name"]) == {"7B-4T", "13B-5T"}
    assert value(study, "190M-1xC", "c4/loss")[0] == pytest.approx(3.8e9, rel=0.05)
    assert len(study.values.filter(run="7B-4T", metric="c4/loss")) == 1


@pytest.mark.parametrize("name", RUNS)
def test_reading_twice_adds_nothing_twice(name, tmp_path):
    words = [name, "--folder", testbeds() / name, "-o", tmp_path / "s"]
    first = invoke(*words)
    assert first.exit_code == 0, first.exception
    before = open_study(tmp_path / "s")
    assert before.values.equals(whole(name).values)
    again = invoke(*words)
    assert f"{len(before.values)} values were already there; merged" in again.stdout
    assert open_study(tmp_path / "s").values.equals(before.values)
    assert open_study(tmp_path / "s").runs.equals(before.runs)


def test_a_set_is_read_from_python_by_kind_and_name():
    assert len(read("published", "chinchilla", folder=testbeds() / "chinchilla").runs) == 245


# -- where it comes from --------------------------------------------------------------------------------------------


def test_the_folder_of_all_sets_goes_before_the_network(monkeypatch):
    monkeypatch.setenv("FORETELL_TESTBEDS", str(testbeds()))
    assert fetch_published("olmo-ladder") == testbeds() / "olmo-ladder"
    assert len(read_published("chinchilla").runs) == 245


@pytest.mark.parametrize("inside", ["", "src", "src/scripts/paper", "src/scripts/paper/data/.."])
def test_a_checkout_or_a_folder_of_it_will_do(inside, tmp_path):
    checkout = copied("olmo-ladder", tmp_path, below="src/scripts/paper")
    assert fetch_published("olmo-ladder", folder=checkout / inside) == checkout / inside


def test_a_changed_byte_is_told_with_file_and_hashes(tmp_path):
    copied("chinchilla", tmp_path)
    file = tmp_path / "svg_extracted_data.csv"
    file.write_bytes(file.read_bytes().replace(b"5.005", b"5.006", 1))
    with pytest.raises(SourceError, match=r"svg_extracted_data.csv is not the published file: .*expected 193478df4e90"):
        read_published("chinchilla", folder=tmp_path)


def test_a_missing_file_is_told_and_how_many_more(tmp_path):
    copied("gadre", tmp_path)
    (tmp_path / "eval_metadata.csv").unlink()
    with pytest.raises(SourceError, match=r"eval_metadata.csv is missing; give a checkout of mlfoundations/scaling"):
        read_published("gadre", folder=tmp_path)
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(SourceError, match="and 104 more files are missing"):
        read_published("gadre", folder=tmp_path)


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(SourceError, match="is not a folder; give the one that holds the published set 'gadre'"):
        read_published("gadre", folder=tmp_path / "no")


@pytest.mark.parametrize("name", RUNS)
def test_a_set_is_fetched_once_and_read_alike(name, tmp_path):
    with serving(copied(name, tmp_path / "served")) as (url, asked):
        study = read_published(name, cache=tmp_path / "cache", base_url=url)
        assert len(asked) == len(published_sets()[name].files)
        again = read_published(name, cache=tmp_path / "cache", base_url=url)
        assert len(asked) == len(published_sets()[name].files)
    assert study.values.equals(whole(name).values)
    assert again.runs.equals(whole(name).runs)


def test_what_was_fetched_is_read_by_the_sets_own_reader(tmp_path):
    with serving(copied("olmo-ladder", tmp_path / "served")) as (url, _):
        fetched = fetch_published("olmo-ladder", cache=tmp_path / "cache", base_url=url)
    assert read_olmo_ladder(fetched).values.equals(whole("olmo-ladder").values)


@pytest.mark.parametrize(("name", "path"), [
    ("olmo-ladder", "data/ladder-runs/190M-1xC.csv"), ("gadre", "models/rpj-d=96_l=8_h=4-1.0.json"),
])  # fmt: skip
def test_a_tampered_download_is_refused_and_not_kept(name, path, tmp_path):
    served = copied(name, tmp_path / "served")
    (served / path).write_text((served / path).read_text() + " ")
    with serving(served) as (url, _), pytest.raises(SourceError, match="is not the published file"):
        fetch_published(name, cache=tmp_path / "cache", base_url=url)
    assert not list((tmp_path / "cache").rglob(Path(path).name))


def test_a_file_that_the_server_lacks_is_told(tmp_path):
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as (url, _), pytest.raises(SourceError, match="could not be fetched"):
        fetch_published("chinchilla", cache=tmp_path / "cache", base_url=url)


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"could not be fetched.*FORETELL_TESTBEDS"):
        fetch_published("olmo-ladder", cache=tmp_path, base_url="http://127.0.0.1:9/")


# -- the command ----------------------------------------------------------------------------------------------------


def test_without_a_name_the_sets_are_listed():
    shown = invoke().stdout
    for one in published_sets().values():
        assert f"{one.name}: {one.about}" in shown
        assert f"{one.origin} at {one.commit[:7]}, {one.citation}; licence: {one.licence}" in shown
    assert {row["name"]: row["files"] for row in json.loads(invoke("--json").stdout)} == {
        "chinchilla": 1, "gadre": 209, "olmo-ladder": 19,
    }  # fmt: skip


def test_an_unknown_set_suggests_the_nearest_and_lists_the_known(tmp_path):
    done = invoke("chinchila", "-o", tmp_path / "s")
    assert isinstance(done.exception, UnknownName)
    assert "did you mean chinchilla? known: chinchilla, gadre, olmo-ladder" in str(done.exception)
    assert not (tmp_path / "s").exists()


def test_a_study_must_be_named():
    assert "no study was named" in str(invoke("gadre").exception)


def test_rows_are_chosen_from_tables_only(tmp_path):
    with pytest.raises(SourceError, match="gadre is more than one table"):
        read_published("gadre", folder=tmp_path, where="N > 1")
    done = invoke("chinchilla", "--folder", testbeds() / "chinchilla", "--where", "lost < 3", "-o", tmp_path / "s")
    assert "lost" in str(done.exception)
    assert not (tmp_path / "s").exists()
