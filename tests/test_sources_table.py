"""The table reader maps columns by name, and names the column and row of what it cannot take."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import SourceError, TableError, UnknownName
from foretell.sources import ColumnMap, read, read_table
from foretell.sources.table import tabulate

BASIC = {"run": "model", "N": "N", "D": "D", "metric": "loss"}
ROWS = ["model,N,D,loss", "small,1e8,2e9,3.5", "medium,3e8,6e9,3.2", "large,1e9,2e10,2.9"]


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "runs.csv", *ROWS)


def same(a, b):
    return a.runs.equals(b.runs) and a.values.equals(b.values) and a.metrics == b.metrics


# -- rows, runs and holes -------------------------------------------------------------------------------------------


@given(st.permutations(ROWS[1:]), st.permutations([0, 1, 2, 3]))
def test_row_and_column_order_do_not_matter(rows, order):
    cells = [line.split(",") for line in (ROWS[0], *rows)]
    frame = pl.DataFrame({column[0]: column[1:] for column in zip(*cells, strict=True)})
    frame = frame.select(frame.columns[i] for i in order)
    plain = pl.DataFrame({c: [line.split(",")[i] for line in ROWS[1:]] for i, c in enumerate(ROWS[0].split(","))})
    assert same(tabulate(frame, ColumnMap.of(**BASIC)), tabulate(plain, ColumnMap.of(**BASIC)))


def test_without_a_run_column_each_row_is_a_run(file):
    mapping = {**BASIC, "run": None}
    assert read_table(file, **mapping).runs["name"].to_list() == ["runs:0001", "runs:0002", "runs:0003"]
    assert read_table(file, **mapping, where="N > 1e8").runs["name"].to_list() == ["runs:0002", "runs:0003"]


def test_csv_gz_parquet_and_jsonl_are_read_alike(file, tmp_path):
    import gzip

    frame = pl.read_csv(file)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    for name in ("a.parquet", "a.jsonl", "a.csv.gz", "a.tsv"):
        assert same(read_table(tmp_path / name, **BASIC), read_table(file, **BASIC))


def test_run_columns_join_by_a_slash_with_whole_numbers_and_empty_cells(tmp_path):
    path = write(
        tmp_path / "a.csv", "m,steps,lr,variant,N,D,loss", "x,100,0.25,,1e8,1e9,3", "x,100,0.25,dedup,1e8,1e9,3"
    )
    study = read_table(path, run=["m", "steps", "lr", "variant"], N="N", D="D", metric="loss")
    assert study.runs["name"].to_list() == ["x/100/0.25/", "x/100/0.25/dedup"]


def test_an_empty_cell_is_a_hole_and_counted(tmp_path):
    path = write(tmp_path / "a.csv", "model,N,D,loss,acc", "a,1e8,1e9,3.5,", "b,1e8,2e9,,0.5", "c,1e8,3e9,3.1,0.6")
    study = read_table(path, **{**BASIC, "metric": ["loss", "acc"]})
    assert study.metric("acc").run.tolist() == ["b", "c"]
    assert study.notes == ("2 cells of 2 metrics are empty",)


def test_rows_without_tokens_or_any_metric_are_left_out_aloud(tmp_path):
    path = write(tmp_path / "a.csv", "model,N,D,loss", "a,1e8,,3.5", "b,1e8,2e9,", "c,1e8,3e9,3.1")
    study = read_table(path, **BASIC)
    assert study.runs["name"].to_list() == ["c"]
    assert study.notes == ("1 rows have no D; left out", "1 rows hold no metric at all; left out")


def test_integers_do_not_overflow(tmp_path):
    path = write(tmp_path / "a.csv", "model,N,D,loss", "a,70000000000,15000000000000,2")
    study = read_table(path, **BASIC, C="6*N*D")
    assert study.runs["C"][0] == pytest.approx(6.3e24)


@pytest.mark.parametrize("cell", ["nan", "NaN", "NAN", "inf", "-inf", "Infinity"])
@pytest.mark.parametrize("column", ["loss", "N", "D", "lr"])
@pytest.mark.parametrize("beside", ["", "text"])
def test_a_written_nan_or_inf_names_column_and_row(tmp_path, cell, column, beside):
    rows = [{"model": str(i), "N": "1e8", "D": "1e9", "loss": "3.5", "lr": "0.1"} for i in range(3)]
    rows[1][column] = cell
    if beside and column != "lr":
        rows[2][column] = beside  # makes polars read the whole column as text
    path = write(tmp_path / "a.csv", "model,N,D,loss,lr", *(",".join(row.values()) for row in rows))
    with pytest.raises(TableError, match=rf"column '{column}' (is (nan|inf|-inf)|holds 'text'|holds '(NAN|Infinity)')"):
        read_table(path, **BASIC, attribute={"lr": "lr"})


def test_a_nan_in_parquet_is_refused_and_in_an_unused_column_ignored(tmp_path):
    frame = pl.DataFrame({"model": ["a"], "N": [1e8], "D": [1e9], "loss": [float("nan")], "fine": [3.0]})
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="column 'loss' is nan in row 1"):
        read_table(tmp_path / "a.parquet", **BASIC)
    assert len(read_table(tmp_path / "a.parquet", **{**BASIC, "metric": "loss=fine"}).values) == 1


def test_a_nan_in_json_is_told(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"model": "a", "N": 1e8, "D": 1e9, "loss": NaN}')
    with pytest.raises(SourceError, match="JSON has no NaN"):
        read_table(path, **BASIC)


@pytest.mark.parametrize(("column", "cell"), [("N", "0"), ("N", "-5"), ("D", "0"), ("D", "-1e9")])
def test_counts_that_are_not_positive_name_the_row(tmp_path, column, cell):
    row = {"model": "b", "N": "1e8", "D": "1e9", "loss": "3.5", column: cell}
    path = write(tmp_path / "a.csv", *ROWS[:2], ",".join(row.values()))
    with pytest.raises(TableError, match=rf"{column} is -?[0-9e+]+ in row 2, run 'b'.*must be positive"):
        read_table(path, **BASIC)


def test_a_cell_that_is_no_number_names_column_and_row(tmp_path):
    path = write(tmp_path / "a.csv", ROWS[0], "a,7X,1e9,3.5", "b,1e8,1e9,3.5")
    with pytest.raises(TableError, match="column 'N' holds '7X' in row 1"):
        read_table(path, **BASIC)


def test_an_accuracy_in_percent_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", "model,N,D,acc", "a,1e8,1e9,45.2")
    with pytest.raises(TableError, match="divide percentages by 100"):
        read_table(path, **{**BASIC, "metric": "acc"})
    assert read_table(path, **{**BASIC, "metric": "acc=acc/100"}).metric("acc").value[0] == pytest.approx(0.452)


# -- repeats --------------------------------------------------------------------------------------------------------


def test_rows_alike_merge_aloud(tmp_path):
    path = write(tmp_path / "a.csv", *ROWS, ROWS[1], ROWS[1])
    study = read_table(path, **BASIC)
    assert len(study.values) == 3
    assert study.notes == ("2 rows repeat another row's key and values; merged",)


def test_rows_of_one_key_with_other_values_are_refused_or_numbered(tmp_path):
    lines = [ROWS[0], "a,1e8,1e9,3.5", "a,1e8,1e9,3.4", "a,1e8,1e9,3.6", "a,1e8,1e9,3.6", "b,1e8,1e9,3"]
    path = write(tmp_path / "a.csv", *lines)
    with pytest.raises(TableError, match="or number them as replicates"):
        read_table(path, **BASIC)
    study = read_table(path, **BASIC, replicates=True)
    numbered = {"a": 3.4, "a #2": 3.5, "a #3": 3.6, "b": 3.0}
    assert dict(study.values.select("run", "value").iter_rows()) == numbered
    assert any("2 rows are replicates of 1 runs" in note for note in study.notes)
    for order in itertools.permutations(lines[1:]):
        assert same(read_table(write(path, lines[0], *order), **BASIC, replicates=True), study)


def test_replicates_along_a_run_say_that_they_are_no_trajectory(tmp_path):
    path = write(tmp_path / "a.csv", ROWS[0], "a,1e8,1e9,3.5", "a,1e8,1e9,3.4", "a,1e8,2e9,3.0")
    assert any("need not be one trajectory" in note for note in read_table(path, **BASIC, replicates=True).notes)


# -- runs of several rows -------------------------------------------------------------------------------------------

ALONG = ["model,N,D,lr,seed,loss", "a,1e8,1e9,0.1,1,3.5", "a,1e8,2e9,0.2,1,3.4"]


def test_an_attribute_is_a_runs_where_constant_and_a_rows_where_it_changes(tmp_path):
    study = read_table(write(tmp_path / "a.csv", *ALONG), **BASIC, attribute={"lr": "lr", "seed": "seed"})
    assert study.runs["seed"].to_list() == [1.0]
    assert study.values["lr"].to_list() == [0.1, 0.2]
    assert study.rows == "all"
    np.testing.assert_allclose(study.metric("loss").inputs["lr"], [0.1, 0.2])


@pytest.mark.parametrize("option", [{"N": "lr"}, {"U": "lr"}, {"family": "lr"}, {"weight": {"x": "lr"}}])
def test_what_belongs_to_a_run_may_not_change_along_it(tmp_path, option):
    with pytest.raises(TableError, match="changes within run 'a'"):
        read_table(write(tmp_path / "a.csv", *ALONG), **{**BASIC, **option})


def test_a_text_attribute_may_not_change_along_a_run(tmp_path):
    path = write(tmp_path / "a.csv", "model,N,D,phase,loss", "a,1e8,1e9,warm,3.5", "a,1e8,2e9,cold,3.4")
    with pytest.raises(TableError, match="phase changes within run 'a'"):
        read_table(path, **BASIC, attribute={"phase": "phase"})


def test_rows_are_final_by_default_where_each_run_has_one(file):
    assert read_table(file, **BASIC).rows == "final"
    assert read_table(file, **BASIC, rows="all").rows == "all"


def test_runs_of_matching_rows_are_held_out(tmp_path):
    study = read_table(write(tmp_path / "a.csv", *ALONG, "b,1e8,1e9,.1,1,3"), **BASIC, held_out="D > 1e9")
    assert study.held_out().runs["name"].to_list() == ["a"]
    assert any("held out whole" in note for note in study.notes)


def test_only_all_parameters_means_that_laws_use_them(file):
    assert read_table(file, **{**BASIC, "N": None}, N_total="N").law_N == "N_total"
    both = {**BASIC, "N": "N/2", "N_total": "N"}
    assert read_table(file, **both).law_N == "N"
    assert read_table(file, **both, law_N="N_total").metric("loss").inputs["N"].max() == 1e9


# -- mixtures -------------------------------------------------------------------------------------------------------


def mixture(tmp_path, *shares):
    rows = [f"r{i},1e8,1e9,3,{a},{b}" for i, (a, b) in enumerate(shares)]
    return write(tmp_path / "m.csv", "model,N,D,loss,w_wiki,w_Pile-CC", *rows)


def test_shares_are_named_after_the_globs_star_and_sum_to_one(tmp_path):
    study = read_table(mixture(tmp_path, (0.3, 0.7), (0.501, 0.5)), **BASIC, weights="w_*")
    np.testing.assert_allclose(study.runs["w_wiki"] + study.runs["w_Pile-CC"], 1)
    assert study.notes == ("shares sum to 1–1.001; scaled to sum to 1",)


def test_shares_of_some_sources_are_kept_as_they_are(tmp_path):
    study = read_table(mixture(tmp_path, (0.3, 0.7), (0.5, 0.5)), **BASIC, weight={"wiki": "w_wiki"})
    assert study.runs["w_wiki"].to_list() == [0.3, 0.5]
    assert study.notes == ("shares sum to 0.3–0.5; kept as they are",)


@pytest.mark.parametrize(
    ("shares", "match"),
    [
        ((30, 70), "divide percentages by 100"),
        ((-0.1, 1.1), "a share lies in 0..1"),
        (("", 1.0), "a missing share is not zero"),
    ],
)
def test_shares_that_cannot_be_are_refused(tmp_path, shares, match):
    with pytest.raises(TableError, match=match):
        read_table(mixture(tmp_path, shares), **BASIC, weights="w_*")


# -- what is refused before reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"N": None}, "no column for N"), ({"D": None}, "no column for D"), ({"metric": None}, "no metric was named"),
        ({"attribute": {"C": "N"}}, "the table's own"), ({"attribute": {"w_x": "N"}}, "the table's own"),
        ({"where": "N > 1e30"}, "no row of runs fulfils"), ({"run": "modle"}, "did you mean model"), ({"tokens": "D"}, "tokens"),
        ({"family": "famly"}, "no column is called 'famly'"), ({"weights": "w_*"}, "'w_\\*'"), ({"rows": "some"}, "rows does not fit"),
        ({"join": "x.csv"}, "--on"), ({"join": "x.csv", "on": "model"}, "does not exist"), ({"D": True}, "D does not fit"),
    ],
)  # fmt: skip
def test_a_map_that_does_not_fit_is_told(file, option, match):
    with pytest.raises((SourceError, TableError, UnknownName), match=match):
        read_table(file, **{**BASIC, **option})


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.xlsx", "x", "of no known type"), ("a.parquet", "x", "cannot be read as parquet"), ("a.jsonl", "{", r"line 1 of .* is not JSON"),
        ("a.csv", "", "cannot be read as csv"), ("a.csv", "model,N,D,loss\n", "holds no rows"), ("a.csv", "a,b,a\n1,2,3\n", "two columns"),
        ("a.csv", "a,b\n1,2,3\n", r"line 2 of .* has 3 cells, the first line 2; a cell with a comma wants quotes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told(tmp_path, name, content, match):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError, match=match):
        read_table(path, **BASIC)


def test_a_folder_or_absent_file_is_told(tmp_path):
    with pytest.raises(SourceError, match="is a folder"):
        read_table(tmp_path, **BASIC)
    with pytest.raises(SourceError, match="does not exist"):
        read_table(tmp_path / "none.csv", **BASIC)


def test_a_second_file_joins_by_key_and_not_by_position(tmp_path):
    sizes = write(tmp_path / "sizes.csv", "model,N,D", "b,2e8,2e9", "a,1e8,1e9", "c,3e8,3e9")
    scores = write(tmp_path / "scores.csv", "model,acc", "a,0.1", "b,0.2", "d,0.4")
    study = read_table(scores, **{**BASIC, "metric": "acc"}, join=str(sizes), on="model")
    assert dict(study.runs.select("name", "N").iter_rows()) == {"a": 1e8, "b": 2e8}
    assert study.notes == ("1 rows have no N; left out",)
    write(sizes, "model,N,D", "a,1,1", "a,2,2")
    with pytest.raises(SourceError, match="one row a key"):
        read_table(scores, **{**BASIC, "metric": "acc"}, join=str(sizes), on="model")


@pytest.mark.parametrize(
    ("text", "match"), [("N = ", "cannot be read"), ("columns = 3", "no table"), ("ghost = 'x'", "ghost")]
)
def test_a_toml_map_that_cannot_be_used_is_told(file, tmp_path, text, match):
    write(tmp_path / "map.toml", text)
    with pytest.raises((SourceError, UnknownName), match=match):
        read_table(file, toml=tmp_path / "map.toml", **BASIC)


def test_an_unknown_source_suggests_the_known():
    with pytest.raises(UnknownName, match="no source is called 'olmo'; did you mean olmo-core or olmo-ladder"):
        read("olmo", "x")


@pytest.mark.parametrize(
    "condition",
    [
        "n IN (SELECT n FROM read_csv('{other}'))",
        "n IN (\tfrom read_csv('{other}'))",
        "EXISTS (/**/ WITH a AS (FROM read_csv('{other}')) TABLE a)",
    ],
)
def test_a_condition_reads_no_other_file(tmp_path, condition):
    for name in ("runs.csv", "other.csv"):
        (tmp_path / name).write_text("m,n,d,loss\na,1e6,1e8,3\nb,2e6,2e8,2.8\n")
    condition = condition.format(other=tmp_path / "other.csv")
    columns = {"run": ["m"], "N": "n", "D": "d", "metric": ["c4/loss=loss"]}
    with pytest.raises(TableError, match="holds a query"):
        read_table(tmp_path / "runs.csv", where=condition, **columns)
    with pytest.raises(TableError, match="holds a query"):
        read_table(tmp_path / "runs.csv", **columns).where(condition)


def test_words_of_a_query_may_stand_in_a_conditions_texts(tmp_path):
    (tmp_path / "runs.csv").write_text("m,n,d,loss\nselect (from --,1e6,1e8,3\nb,2e6,2e8,2.8\n")
    columns = {"run": ["m"], "N": "n", "D": "d", "metric": ["c4/loss=loss"]}
    study = read_table(tmp_path / "runs.csv", where="m = 'select (from --'", **columns)
    assert study.runs["name"].to_list() == ["select (from --"]
