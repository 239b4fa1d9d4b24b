"""Files of others are read within limits, and what is wrong is said with file and line."""

import gzip
import json

import pytest

from foretell.errors import ForetellError, SourceError
from foretell.sources import MetricMap, RunTable, guard, read_lightning, read_wandb
from foretell.sources.run_table import step_in


def test_a_bomb_is_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "FREE", 1 << 20)
    with gzip.open(tmp_path / "run.jsonl.gz", "wb") as file:
        for _ in range(6):
            file.write(b'{"_step": 1, "loss": 1}\n' * 50_000)
    with pytest.raises(SourceError, match="grows over 100 times"):
        read_wandb(tmp_path, tokens_per_step=1)


def test_ordinary_gzip_is_read(tmp_path):
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"_step": step, "loss": 5 - step / 100}) + "\n" for step in range(1, 50))
    (tmp_path / "runs.toml").write_text("[runs.r]\nN = 1e6\n")
    made = read_wandb(tmp_path / "r.jsonl.gz", runs=tmp_path / "runs.toml", tokens_per_step=10)
    assert len(made.values) == 49


@pytest.mark.parametrize("cut", [10, 60, 130])
def test_gzip_that_breaks_off_is_named(tmp_path, cut):
    content = gzip.compress("".join(f'{{"_step": {step}, "loss": {step * 0.377}}}\n' for step in range(99)).encode())
    (tmp_path / "r.jsonl.gz").write_bytes(content[:cut])
    with pytest.raises(SourceError, match=r"r.jsonl.gz"):
        read_wandb(tmp_path, tokens_per_step=1)


def test_an_endless_line_is_refused_with_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "MOST_LINE", 1000)
    (tmp_path / "r.jsonl").write_text('{"_step": 1}\n{"_step": "' + "1" * 2000 + '"}\n')
    with pytest.raises(SourceError, match="line 2"):
        read_wandb(tmp_path, tokens_per_step=1)


def test_a_document_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "MOST_DOCUMENT", 1000)
    (tmp_path / "r.json").write_text(json.dumps([{"_step": 1}] * 200))
    with pytest.raises(SourceError, match="too much for one document"):
        read_wandb(tmp_path, tokens_per_step=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("step,loss\n1,ü\n".encode("utf-16"), "UTF-16"),
        ("step,loss\n1,2\n3,ü\n".encode("latin-1"), "line 3"),
        (b"step,loss\n1,2\n" + b"\0" * 10 + b"\n", "line 3"),
    ],
)
def test_another_encoding_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(SourceError, match=said):
        read_lightning(tmp_path, tokens_per_step=1)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(b"\xef\xbb\xbfstep,loss\n1,2\n")
    (tmp_path / "runs.csv").write_bytes(f"\ufeffrun,N\n{tmp_path.name},1M\n".encode())
    assert len(read_lightning(tmp_path, runs=tmp_path / "runs.csv", tokens_per_step=1).values) == 1


def test_other_compressions_are_told_what_to_do(tmp_path):
    (tmp_path / "metrics.csv.zst").write_bytes(b"")
    with pytest.raises(SourceError, match="decompress it"):
        guard.whole(tmp_path / "metrics.csv.zst")


def test_a_name_cannot_steer_a_terminal():
    assert guard.label("a\x1b[31mb\u202ec\nd\ud800") == "a\ufffd[31mb\ufffdc\ufffdd?"
    assert len(guard.label("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("out/checkpoint-1000", 1000),
        ("step143000", 143000),
        ("iter_0001000", 1000),
        ("global_step20", 20),
        ("stage1-step5-tokens3B", 5),
        ("EleutherAI/pythia-1b", None),
        ("footstep7", None),
        ("main", None),
    ],
)
def test_steps_are_read_off_names(text, step):
    assert step_in(text) == step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("N,D\n1,2\n", "no column run or model"),
        ("run,N\na,1\na,2\n", "line 3 .* describes 'a' again"),
        ("run,N\na\n", "line 2"),
        ("run,N\na,lots\n", "line 2"),
        ("run,N\n,5\n", "line 2 .* names no run"),
        ("run,step,N\na,soon,5\n", "line 2"),
        ("run,held_out\na,perhaps\n", "line 2"),
        ("run,C,w_x\na,1,2\n", "may not be called"),
        ("run,D\na,2xC\n", "no N was given"),
        ("run\n", "describes no runs"),
    ],
)
def test_a_table_of_runs_is_checked_line_by_line(tmp_path, text, said):
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(SourceError, match=said):
        RunTable.read(tmp_path / "runs.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[log]\n", "cannot be read"),
        ('[[log]]\nkey = "a"\nunit = "points"\n', "log.0.unit"),
        ('[[log]]\nkey = "a"\nmetric = "{b}"\n', "uses {b}"),
        ('[[log]]\nkee = "a"\n', "log.0"),
        ('[other]\nkey = "a"\n', "other"),
    ],
)
def test_a_metric_map_is_checked(tmp_path, text, said):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(SourceError, match=said):
        MetricMap.read(tmp_path / "map.toml")


def test_own_rules_go_before_those_that_ship(tmp_path):
    (tmp_path / "map.toml").write_text(
        '[[log]]\nkey = "loss"\nmetric = "mine/loss"\nunit = "nats/token"\nscale = 0.5\n[chance]\n"hellaswag*" = 0.3\n'
    )
    own = MetricMap.read(tmp_path / "map.toml")
    assert own.of_log("loss")[2] == "mine/loss"
    assert own.guess("hellaswag_rc") == 0.3
    assert MetricMap.read().of_log("loss")[2] == "train/loss"


def test_every_key_that_ships_fits_its_own_rule_first():
    shipped = MetricMap.read()
    for rules, find in ((shipped.log, shipped.of_log), (shipped.measure, shipped.of_measure)):
        for rank, rule in enumerate(rules):
            key = rule.key.replace("{name}", "zz").replace("{task}", "zz").replace("*", "zz")
            assert find(key)[0] == rank, f"{rule.key} is never reached: {rules[find(key)[0]].key} fits before it"


def test_an_absent_path_is_said():
    with pytest.raises(ForetellError, match="does not exist"):
        read_wandb("nowhere/at/all")
