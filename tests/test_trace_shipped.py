"""The token losses that ship are small, whole and free to ship, and are traced with neither torch nor a network."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from foretell.cli.app import app
from foretell.errors import StudyError, UnknownName
from foretell.lm.probe import make_probe, read_probe, write_losses, write_probe
from foretell.sources.shipped import shipped_ladder
from foretell.table import open_study
from foretell.trajectory.packed import pack_probe, unpack_probe
from foretell.trajectory.sequences import curve_of
from foretell.trajectory.shipped import read_curves, shipped_study, shipped_texts, write_curves
from lm_texts import built

ALONE = """
import socket, sys
def refuse(*_): raise OSError("no network")
socket.socket.connect = refuse
from foretell.cli import main
sys.argv = ["foretell", "trace", "--json", "--figure-dir", sys.argv[1], "-o", sys.argv[2]]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Give a probe of two sources with losses of two runs, and what it was packed into."""
    folder = tmp_path_factory.mktemp("packed")
    probe = make_probe(built(folder), tokens=256, sequence=32)
    place = write_probe(folder, "probe", probe)
    rng = np.random.default_rng(0)
    for run, step in (("a", 1), ("a", 2), ("b", None)):
        write_losses(place, probe, run, step, 100.0 * (step or 7), rng.gamma(2.0, 1.0, 256))
    pack_probe(place, folder / "probe.npz")
    return folder, place


def losses_of(folder, run):
    return np.array(list(read_probe(folder).losses(run)))


def test_what_was_packed_comes_back_bit_by_bit(packed, tmp_path):
    folder, place = packed
    again = unpack_probe(folder / "probe.npz", tmp_path)
    old, new = read_probe(place), read_probe(again)
    assert new.title == old.title
    np.testing.assert_array_equal(new.tokens, old.tokens)
    for run in ("a", "b"):
        np.testing.assert_array_equal(losses_of(again, run), losses_of(place, run))
        np.testing.assert_array_equal(new.steps(run), old.steps(run))
    pack_probe(again, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (folder / "probe.npz").read_bytes()


def test_a_part_of_the_sources_is_a_probe_of_its_own(packed, tmp_path):
    _, place = packed
    made = pack_probe(place, tmp_path / "part.npz", ["prose"])
    part, whole = read_probe(unpack_probe(tmp_path / "part.npz", tmp_path)), read_probe(place)
    assert (part.title.sources, part.title.tokens) == (("prose",), 128)
    assert sum(made.probe.lengths) == 128
    assert set(part.title.documents) < set(whole.title.documents)
    np.testing.assert_array_equal(part.tokens, whole.tokens[128:])
    np.testing.assert_array_equal(losses_of(part.folder, "a"), losses_of(place, "a")[:, 128:])
    with pytest.raises(UnknownName, match="source of the probe"):
        pack_probe(place, tmp_path / "none.npz", ["verse"])


def test_sources_that_share_a_window_are_not_told_apart(packed, tmp_path):
    folder, _ = packed
    from foretell.corpus import open_corpus

    odd = write_probe(tmp_path, "odd", make_probe(open_corpus(folder / "built"), tokens=250, sequence=32))
    with pytest.raises(StudyError, match="cannot be told apart"):
        pack_probe(odd, tmp_path / "odd.npz", ["prose"])


def test_a_pack_cut_short_or_changed_is_refused(packed, tmp_path):
    folder, _ = packed
    whole = (folder / "probe.npz").read_bytes()
    for name, content in (("cut", whole[:-300]), ("half", whole[: len(whole) // 2]), ("none", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudyError, match="cut short or damaged"):
            unpack_probe(tmp_path / name, tmp_path / "study")
    with pytest.raises(StudyError, match="absent"):
        unpack_probe(tmp_path / "nowhere", tmp_path / "study")
    with np.load(folder / "probe.npz") as archive:
        arrays = dict(archive)
    for change, said in (("tokens", "not those that it describes"), ("high", "no numbers")):
        spoilt = {**arrays, change: arrays[change].copy()}
        spoilt[change][..., 3] = 0x7E
        np.savez(tmp_path / "spoilt.npz", **spoilt)
        with pytest.raises(StudyError, match=said):
            unpack_probe(tmp_path / "spoilt.npz", tmp_path / "study")


def test_curves_come_back_as_they_were_written(tmp_path):
    rng = np.random.default_rng(1)
    curve = curve_of("noised", "20 %", "27K", 27e3, [1e6, 2e6], [2.0, 1.8], [rng.gamma(2, 1, 9), rng.gamma(2, 1, 9)])
    write_curves([curve], tmp_path / "texts.json")
    (again,) = read_curves(tmp_path / "texts.json")
    np.testing.assert_allclose(again.change, curve.change, rtol=1e-5)
    np.testing.assert_allclose(again.loss, curve.loss, rtol=1e-5)
    assert (again.kind, again.name, again.rung, again.size) == ("noised", "20 %", "27K", 27e3)
    (tmp_path / "texts.json").write_text((tmp_path / "texts.json").read_text()[:-40])
    with pytest.raises(StudyError, match="cut short"):
        read_curves(tmp_path / "texts.json")


def test_every_checkpoint_of_the_shipped_table_has_its_token_losses():
    with shipped_study() as study:
        folder = read_probe(study / "tokens" / "probe")
        table = open_study(study)
    assert folder.title.sources == ("code", "factbook")  # those whose licences let their text be shipped
    there = {(run, float(D)) for run in folder.runs for D in folder.D(run)}
    rows = table.values.select("run", "D").unique().iter_rows()
    assert there == {(run, float(D)) for run, D in rows}
    assert not study.exists()


def test_the_shipped_texts_were_read_by_every_rung():
    curves = shipped_texts()
    assert {one.kind for one in curves} == {"noised", "options", "decoded, greedy", "decoded, nucleus"}
    assert {one.size for one in curves} == set(shipped_ladder().runs["N"])


def test_the_shipped_ladder_is_traced_without_torch_or_network(tmp_path):
    arguments = [sys.executable, "-c", ALONE, str(tmp_path / "figures"), str(tmp_path / "study")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tokens"] == 16384
    assert len({one["N"] for one in told["trajectories"]}) == 6  # five sizes and the target
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"categories", "shares", "aligned", "tasks", "noised", "options", "decoded"}
    table = open_study(tmp_path / "study")
    assert {"validation/loss", "tokens/q50", "pooling/cloze_code/acc/ratio"} <= set(table.metrics)
    verdict = table.values.filter(table.values["metric"] == "pooling/cloze_code/acc/ratio")
    assert "2.2M-26M" not in verdict["run"].to_list()  # the target is no part of what a forecast may know


def test_the_shipped_ladder_has_no_models_to_read_with(tmp_path):
    done = CliRunner().invoke(app, ["trace", "--checkpoints", str(tmp_path)])
    assert isinstance(done.exception, StudyError)
    assert "name a study of your own" in str(done.exception)
