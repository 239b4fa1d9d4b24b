"""Text that is not UTF-8, or cut off, is refused with its file, its line, what it looks like and a remedy."""

import gzip
import json
import re
from pathlib import Path

import pytest

from foretell.cli.predict import read_targets
from foretell.corpus.texts import Skipped, texts_of
from foretell.encoding import not_utf8
from foretell.errors import CorpusError, LadderError, SourceError, TableError
from foretell.methods.part_curve import read_part_curve
from foretell.rung import read_ladder
from foretell.sources import SOURCES, ColumnMap, MetricMap, RunTable, read
from foretell.sources.results import read_results

FIXTURES = Path(__file__).parent / "fixtures"
ROWS = "run,N,D,loss\na,1e8,2e9,3.5\ncafé,1e9,2e10,2.9\n"
LATIN = r"line {line} of {path} is not UTF-8 \(byte 0xE9\): it looks like Windows-1252 or Latin-1; .* as iconv"
LOGS = {  # kind: the name it must have, a real file
    "lm-eval": ("samples_toy_mc_2026-01-01T00-00-00.0.jsonl", "lm-eval/*/samples_*"),
    "wandb": ("a.csv", "wandb/*.csv"),
    "trainer": ("trainer_state.json", "trainer/runs/**/trainer_state.json"),
    "olmo-core": ("metrics_step1.json", "olmo-core/*/*.json"),
    "torchtitan": ("a.log", "torchtitan/*.log"),
    "lightning": ("metrics.csv", "lightning/**/metrics.csv"),
    "every-eval-ever": ("a.json", "every-eval-ever/**/*.json"),
}
MAP = {"run": "run", "N": "N", "D": "D", "metric": "loss"}


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def latin(line, path):
    return LATIN.format(line=line, path=re.escape(str(path)))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.jsonl"])
def test_a_table_in_latin_1_is_refused_with_its_line(name, tmp_path):
    content = ROWS.replace(",", "\t") if name == "t.tsv" else ROWS
    if name == "t.jsonl":
        content = '{"run": "a", "N": 1e8, "D": 2e9, "loss": 3.5}\n\n{"run": "café", "N": 1, "D": 2, "loss": 3}\n'
    raw = content.encode("latin-1")
    path = written(tmp_path, name, gzip.compress(raw) if name.endswith(".gz") else raw)
    with pytest.raises(SourceError, match=latin(3, path)):
        read("table", path, **MAP)


def test_utf_16_is_named_as_such_and_a_byte_order_mark_of_utf_8_is_none_of_the_text(tmp_path):
    with pytest.raises(SourceError, match=r"is UTF-16, not UTF-8; .*iconv -f UTF-16"):
        read("table", written(tmp_path, "u.csv", ROWS.encode("utf-16")), **MAP)
    study = read("table", written(tmp_path, "b.csv", ROWS.encode("utf-8-sig")), **MAP)
    assert study.runs["name"].to_list() == ["a", "café"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"ab\ncd\xe9 f\n", r"line 2 of f is not UTF-8 \(byte 0xE9\): it looks like Windows-1252"),
        ("é\n".encode()[:1], "line 1 of f is not UTF-8: it ends within a character; it may be cut off"),
        (b"\x00\x01\xff\x00\x00", "line 1 of f is not UTF-8 but binary"),
        (b"a\n\x81\x8d\xff", r"line 2 of f is not UTF-8 \(byte 0x81\) but in some other encoding"),
        (b"\xff\xfea\x00", "f is UTF-16, not UTF-8"),
    ],
)
def test_what_bytes_look_like_is_told(raw, said):
    with pytest.raises(UnicodeDecodeError) as caught:
        raw.decode("utf-8")
    assert re.search(said, not_utf8(caught.value, "f"))


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_that_is_not_utf_8_is_refused_with_its_line(kind, tmp_path):
    name, glob = LOGS[kind]
    lines = sorted(FIXTURES.glob(glob))[0].read_bytes().split(b"\n")
    at = min(1, len(lines) - 1)
    if kind == "lm-eval":  # a row that nobody can read as another's
        at = 0
    half = len(lines[at]) // 2
    lines[at] = lines[at][:half] + b"\xe9" + lines[at][half:]
    path = written(tmp_path, name, b"\n".join(lines))
    table = written(tmp_path, "runs.csv", f"run,N,D\n{tmp_path.name},1e8,2e9\na,1e8,2e9\n".encode())
    with pytest.raises(SourceError, match=rf"line {at + 1} of {re.escape(str(path))} is not UTF-8"):
        SOURCES[kind](path, runs=table, tokens_per_step=1000.0)


def test_the_small_files_of_options_are_refused_with_their_line(tmp_path):
    table = written(tmp_path, "runs.csv", "run,N,D\nx,1,2\ncafé,1,2\n".encode("latin-1"))
    with pytest.raises(SourceError, match=latin(3, table)):
        RunTable.read(table)
    toml = written(tmp_path, "runs.toml", '[runs."a"]\nN = 1\n[runs."café"]\nN = 2\n'.encode("latin-1"))
    with pytest.raises(SourceError, match=latin(3, toml)):
        RunTable.read(toml)
    columns = written(tmp_path, "map.toml", '[columns]\nrun = "café"\n'.encode("latin-1"))
    with pytest.raises(SourceError, match=latin(2, columns)):
        ColumnMap.of(columns)
    with pytest.raises(SourceError, match=latin(2, columns)):
        MetricMap.read(columns)
    results = written(tmp_path, "results.csv", "metric,value\ncafé,1\n".encode("latin-1"))
    with pytest.raises(SourceError, match=latin(2, results)):
        read_results(results)
    targets = written(tmp_path, "targets.csv", "name,N,D\ncafé,7B,1T\n".encode("latin-1"))
    with pytest.raises(SourceError, match=latin(2, targets)):
        read_targets(targets)
    curve = written(tmp_path, "curve.csv", "step,lr,loss\n1,1,é\n".encode("latin-1"))
    with pytest.raises(SourceError, match=latin(2, curve)):
        read_part_curve(curve)
    ladder = written(tmp_path, "ladder.toml", 'format = 1\nstudy = "café"\n'.encode("latin-1"))
    with pytest.raises(LadderError, match=latin(2, ladder)):
        read_ladder(ladder)


@pytest.mark.parametrize("packed", [False, True])
def test_a_row_of_text_that_is_not_utf_8_is_refused_with_its_line(packed, tmp_path):
    raw = (json.dumps({"text": "one"}) + "\n").encode() + '{"text": "café"}\n'.encode("latin-1")
    path = written(tmp_path, "t.jsonl.gz" if packed else "t.jsonl", gzip.compress(raw) if packed else raw)
    with pytest.raises(CorpusError, match=latin(2, path)):
        list(texts_of(path, "text", None, Skipped()))


def test_rows_of_another_length_are_refused_with_their_line_and_not_filled_up(tmp_path):
    short = written(tmp_path, "short.csv", b"run,N,D,loss\na,1e8,2e9,3.5\nb,1e9,2e10\n")
    with pytest.raises(SourceError, match=r"line 3 of .*short.csv has 3 cells, the first line 4; it may be cut off"):
        read("table", short, **MAP)
    long = written(tmp_path, "long.csv", b"run,N,D,loss\na,1e8,2e9,3.5,\nb,1e9,2e10,3\n")
    with pytest.raises(SourceError, match=r"line 2 of .*long.csv has 5 cells"):
        read("table", long, **MAP)
    quoted = written(tmp_path, "quoted.csv", b'run,N,D,loss\n"a\nb",1e8,2e9,3.5\n"c,d",1e9,2e10,3\n')
    assert len(read("table", quoted, **MAP).runs) == 2


def test_a_table_cut_off_within_json_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "cut.jsonl", b'{"run":"a","N":1e8,"D":2e9,"loss":3.5}\n{"run":"b","N":1e8,\n')
    with pytest.raises(SourceError, match=r"line 2 of .*cut.jsonl is not JSON"):
        read("table", path, **MAP)


def test_a_cell_that_is_wrong_is_told_with_file_column_and_row(tmp_path):
    path = written(tmp_path, "word.csv", b"run,N,D,loss\na,1e8,2e9,3.5\nb,1e9,2e10,abc\n")
    with pytest.raises(TableError, match=r"word.csv: column 'loss' holds 'abc' in row 2"):
        read("table", path, **MAP)


def test_a_bomb_of_zeros_is_stopped_before_it_is_a_table(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"run,N,D,loss\n" + (b"a" * 100_000 + b",1e8,2e9,3.5\n") * 700)
    with pytest.raises(SourceError, match="grows over 100 times"):
        read("table", path, **MAP)
