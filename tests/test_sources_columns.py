"""An expression finds its columns, a metric its name, and neither runs anything."""

import contextlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import FormulaError, SourceError, TableError, UnknownName
from foretell.sources import ColumnMap
from foretell.sources.columns import ROW, ColumnExpression, matching
from foretell.sources.table import tabulate

BASIC = {"run": "model", "N": "N", "D": "D", "metric": "loss"}


# -- expressions ----------------------------------------------------------------------------------------------------

ODD = [
    "N",
    "D",
    "C",
    "D/N",
    "Model Size (B)",
    "FLOPs (1E21)",
    "acc|norm",
    "Pile-CC",
    "loss 1",
    "loss 1 b",
    "_step",
    "lambda",
]
CELLS = pl.DataFrame({name: [float(i + 2)] for i, name in enumerate(ODD)}).with_row_index(ROW, offset=1)


def value(text):
    return ColumnExpression.read(text, ODD).evaluate(CELLS)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N", 2), ("D/N", 5), ("D/N*1", 1.5), ("`D/N`*1", 5), ('"D/N" + N', 7), ("C/(6*N)", 4 / 12), ("Model Size (B)", 6),
        ("Model Size (B)*1e9", 6e9), ("FLOPs (1E21)/Model Size (B)", 7 / 6), ("log(acc|norm)", np.log(8)), ("Pile-CC", 9),
        ("2*Pile-CC", 18), ("loss 1 b - loss 1", 1), ("_step*2", 24), ("lambda + N", 15), ("1e9", 1e9), (" N ", 2),
        ("exp(-`acc|norm`)", np.exp(-8)), ("N**2", 4),
    ],
)  # fmt: skip
def test_an_expression_finds_its_columns(text, expected):
    assert value(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["M", "N*M", "`Modle Size (B)`", "Modle Size (B)", "acc|nrm"])
def test_a_missing_column_is_told_with_the_nearest(text):
    with pytest.raises(UnknownName, match="no column is called"):
        value(text)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "N.real", "N[0]", "max(N, D)", "N < D", "`N`.sum()", "lambda: N", ""]
)
def test_what_is_no_arithmetic_over_columns_is_refused(text):
    with pytest.raises(FormulaError):
        value(text)


def test_an_error_shows_the_expression_as_it_was_written():
    with pytest.raises(FormulaError, match=r"'max\(Pile-CC, N\)'"):
        value("max(Pile-CC, N)")


def test_arithmetic_without_a_finite_result_names_the_row():
    with pytest.raises(TableError, match=r"'log\(N-2\)' has no finite value in 1 rows \(first: row 1\)"):
        value("log(N-2)")


@given(st.text(alphabet="ND+*/() |`\"'_1e-.[]x", max_size=20))
def test_any_expression_is_read_or_refused_in_our_words(text):
    with contextlib.suppress(UnknownName, FormulaError, TableError):
        value(text)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("N = 2", True), ("FLOPs (1E21) <= 7", True), ('"FLOPs (1E21)" > 7', False), ("`acc|norm` = 8", True), ("acc|norm > 8", False),
        ("D/N = 1.5", True), ('"D/N" = 5', True), ("'Pile-CC' = 'Pile-CC' AND Pile-CC = 9", True), ("N IS NULL", False),
        ("_step IN (12, 13)", True), ("NULL > 1", False),
    ],
)  # fmt: skip
def test_a_condition_may_name_odd_columns_bare_or_quoted(condition, kept):
    assert matching(CELLS, condition).to_list() == [kept]


@pytest.mark.parametrize("condition", ["N <", "N + 1", "", "M > 1", "SELECT", "N > 'x'"])
def test_a_condition_that_cannot_be_used_is_refused(condition):
    with pytest.raises((TableError, UnknownName)):
        matching(CELLS, condition)


# -- metrics --------------------------------------------------------------------------------------------------------

WIDE = pl.DataFrame(
    {
        "model": ["a"],
        "N": [1e8],
        "D": [1e9],
        "loss_c4": [3.0],
        "loss_wiki": [2.5],
        "acc_arc": [0.5],
        "x|ppl": [10.0],
        "a=b": [1.0],
    }
)


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("loss_c4", ["loss_c4"]), ("loss_*", ["loss_c4", "loss_wiki"]), ("loss=loss_*", ["c4/loss", "wiki/loss"]),
        ("*/loss=loss_*", ["c4/loss", "wiki/loss"]), ("acc=acc_*", ["acc"]), ("*/acc=acc_*", ["arc/acc"]),
        ("x/loss=log(x|ppl)", ["x/loss"]), ("half=loss_c4*0.5", ["half"]), ("both=loss_c4*loss_wiki", ["both"]),
        ("a=b", ["a=b"]), ("*_*", ["acc_arc", "loss_c4", "loss_wiki"]), ("*-*=*_*", ["acc-arc", "loss-c4", "loss-wiki"]),
        (["loss_c4", "acc_arc"], ["acc_arc", "loss_c4"]), ({"c4/loss": "loss_c4"}, ["c4/loss"]),
    ],
)  # fmt: skip
def test_metrics_are_named_by_their_specs(metric, names):
    study = tabulate(WIDE, ColumnMap.of(**{**BASIC, "metric": metric}))
    assert list(study.metrics) == names


@pytest.mark.parametrize(
    ("metric", "match"),
    [
        ("lossc4", "did you mean loss_c4"), ("x=ghost_*", "no column is called 'ghost_"), ("log(x|ppl)", "write NAME="),
        ("*/*=loss_*", "more stars"), ("c=", "names no column"), (["loss_c4", "loss_*"], "named twice"), ("lost_*", "no column"),
    ],
)  # fmt: skip
def test_a_metric_that_names_nothing_is_told(metric, match):
    with pytest.raises((UnknownName, SourceError), match=match):
        tabulate(WIDE, ColumnMap.of(**{**BASIC, "metric": metric}))


def test_unit_chance_and_items_are_given_by_name_or_glob():
    given_map = ColumnMap.of(
        **{**BASIC, "metric": ["*/loss=loss_*", "arc=acc_arc"]},
        unit={"arc": "accuracy", "*/loss": "bits/byte"}, chance={"ar*": 0.25}, items={"arc": 40},
    )  # fmt: skip
    metrics = tabulate(WIDE, given_map).metrics
    assert (metrics["arc"].unit, metrics["arc"].chance, metrics["arc"].items) == ("accuracy", 0.25, 40)
    assert metrics["wiki/loss"].unit == "bits/byte"
