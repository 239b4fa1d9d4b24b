"""Units read and write quantities as people do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import units
from foretell.errors import UnitError

positive = st.floats(min_value=1e-6, max_value=1e6)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("7B", 7e9),
        ("4T", 4e12),
        ("190M", 190e6),
        ("1e21", 1e21),
        ("1_000", 1000.0),
        ("2.5k", 2500.0),
        (3, 3.0),
        (" 8 b ", 8e9),
    ],
)
def test_counts_are_read_as_people_write_them(text, count):
    assert units.parse_count(text) == pytest.approx(count, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["7X", "", "B", "-3B", "0", "nan", "inf", "1e400", "7BB", "7 billion", float("nan"), -1.0]
)
def test_what_is_no_positive_count_is_refused(text):
    with pytest.raises(UnitError):
        units.parse_count(text)


def test_an_unknown_unit_is_told_with_the_known_ones():
    with pytest.raises(UnitError, match=r"unknown unit 'X'.*B = 1e\+09"):
        units.parse_count("7X", "N")


def test_a_chinchilla_multiple_is_twenty_tokens_a_parameter():
    assert units.parse_tokens("2xC", N=1e9) == 40e9
    assert units.parse_tokens("4T") == 4e12


def test_a_chinchilla_multiple_without_parameters_is_refused():
    with pytest.raises(UnitError, match="give -N"):
        units.parse_tokens("2xC")


@given(st.floats(min_value=1.0, max_value=9.99e17))
def test_a_written_count_reads_back_to_its_printed_digits(count):
    assert units.parse_count(units.format_count(count, digits=6)) == pytest.approx(count, rel=1e-5)


@given(positive)
def test_nats_and_bits_round_trip(nats):
    assert units.bits_to_nats(units.nats_to_bits(nats)) == pytest.approx(nats, rel=1e-14)


@given(positive, st.floats(min_value=0.05, max_value=1.0))
def test_loss_and_bits_per_byte_round_trip(loss, tokens_per_byte):
    bpb = units.loss_to_bpb(loss, tokens_per_byte)
    assert units.bpb_to_loss(bpb, tokens_per_byte) == pytest.approx(loss, rel=1e-13)


def test_one_nat_is_more_than_one_bit():
    assert units.nats_to_bits(1.0) == pytest.approx(1 / math.log(2))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2.32, "2.320"),
        (1.79, "1.790"),
        (0.95, "0.9500"),
        (1234.0, "1234"),
        (12345.0, "1.234e+04"),
        (2e-5, "2e-05"),
        (0, "0"),
    ],
)
def test_values_keep_their_last_zeros(value, written):
    assert units.format_four(value) == written
