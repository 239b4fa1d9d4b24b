"""Truths of mixtures: points on a simplex, pools, epochs, samples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import MethodError, TableError, UnknownName
from foretell.mixture import Mixture, Pools, Region, mixture_rows, onto_simplex, parse_shares, sample_mixtures

DOMAINS = ("code", "web", "wiki")


def test_rounded_shares_are_renormalised_and_said_so():
    rows, notes = mixture_rows(np.array([[0.333, 0.333, 0.333], [0.2, 0.3, 0.5]]), DOMAINS)
    assert rows.sum(axis=1) == pytest.approx([1, 1])
    assert "renormalised" in notes[0]
    assert "1 of 2" in notes[0]


def test_exact_shares_are_left_alone_without_a_word():
    given_rows = np.array([[0.25, 0.25, 0.5]])
    rows, notes = mixture_rows(given_rows, DOMAINS)
    assert (rows == given_rows).all()
    assert not notes


@pytest.mark.parametrize("bad", [[0.5, 0.5, 0.5], [20.0, 30.0, 50.0], [0.2, 0.2, 0.2]])
def test_shares_that_rounding_cannot_explain_are_refused_with_the_run(bad):
    with pytest.raises(TableError, match="run-7"):
        mixture_rows(np.array([bad]), DOMAINS, ["run-7"])


@pytest.mark.parametrize("bad", [[1.2, -0.2, 0.0], [math.nan, 0.5, 0.5]])
def test_negative_and_missing_shares_are_refused(bad):
    with pytest.raises(TableError, match=r"negative or no number"):
        mixture_rows(np.array([bad]), DOMAINS)


def test_a_mixture_knows_its_sources_by_name_not_by_place():
    mixture = Mixture({"wiki": 0.2, "web": 0.8})
    assert mixture.row(DOMAINS) == pytest.approx([0.0, 0.8, 0.2])
    with pytest.raises(UnknownName, match="wiki"):
        mixture.row(("code", "web"))


def test_divergence_is_zero_at_the_prior_and_infinite_off_its_sources():
    web = Mixture({"web": 1.0})
    even = Mixture({"web": 0.5, "wiki": 0.5})
    assert even.divergence(even) == 0
    assert web.divergence(even) == pytest.approx(math.log(2))
    assert even.divergence(web) == math.inf


def test_epochs_are_tokens_taken_over_tokens_there_are():
    pools = Pools.parse(["wiki=3B", "web=inf"])
    assert pools.epochs(np.array([0.1, 0.6, 0.3]), 1e12, DOMAINS) == pytest.approx([0.0, 0.0, 100.0])


def test_matched_pools_repeat_every_mixture_as_often_as_the_target():
    pools = Pools({"wiki": 3e9, "code": 5e10})
    weights = np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    short = pools.matched(1e11, 1.6e12)
    assert short.epochs(weights, 1e11, DOMAINS) == pytest.approx(pools.epochs(weights, 1.6e12, DOMAINS))
    with pytest.raises(MethodError, match="no longer than its target"):
        pools.matched(2e12, 1e12)


def test_caps_on_epochs_bound_shares_and_pools_too_small_are_refused():
    pools = Pools({"wiki": 3e9})
    region = pools.region(DOMAINS, 1e11, most_epochs=4, floors={"code": 0.1})
    assert region.upper == pytest.approx([1, 1, 0.12])
    assert region.lower == pytest.approx([0.1, 0, 0])
    with pytest.raises(MethodError, match="smaller than the epochs asked for"):
        Pools({"wiki": 3e9, "web": 1e9, "code": 1e9}).region(DOMAINS, 1e11, most_epochs=4)
    with pytest.raises(MethodError, match="floor of wiki lies above its cap"):
        pools.region(DOMAINS, 1e11, most_epochs=4, floors={"wiki": 0.5})
    with pytest.raises(UnknownName, match="wikki"):
        pools.region(DOMAINS, 1e11, floors={"wikki": 0.5})


@pytest.mark.parametrize("text", ["wiki", "=3B", "wiki=3B,wiki=4B"])
def test_pools_that_cannot_be_read_are_refused(text):
    with pytest.raises(MethodError, match="pool"):
        Pools.parse([text])


@pytest.mark.parametrize("text", ["web", "web=2", "web=much", "=0.4"])
def test_shares_that_cannot_be_read_are_refused(text):
    with pytest.raises(TableError, match="cannot be read"):
        parse_shares([text])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 10**6))
def test_the_projection_is_the_nearest_point_of_the_region(point, seed):
    region = Region(DOMAINS, np.array([0.05, 0.0, 0.1]), np.array([0.6, 0.5, 0.9]))
    made = region.project(np.array(point))
    assert region.contains(made, 1e-8)
    others = sample_mixtures(region, 50, np.random.default_rng(seed))
    nearest = np.linalg.norm(others - np.array(point), axis=1).min()
    assert np.linalg.norm(made - np.array(point)) <= nearest + 1e-8


def test_points_inside_stay_where_they_are():
    inside = np.random.default_rng(0).dirichlet(np.ones(5), size=20)
    assert onto_simplex(inside, np.zeros(5), np.ones(5)) == pytest.approx(inside, abs=1e-10)


def test_samples_keep_caps_and_floors_and_their_seed():
    region = Region(DOMAINS, np.array([0.1, 0.0, 0.0]), np.array([1.0, 1.0, 0.02]))
    first = sample_mixtures(region, 200, np.random.default_rng(3))
    assert region.contains(first, 1e-8).all()
    assert (first == sample_mixtures(region, 200, np.random.default_rng(3))).all()


def test_samples_follow_their_prior_and_reach_corners():
    made = sample_mixtures(Region.whole(DOMAINS), 2000, np.random.default_rng(0), prior=np.array([0.6, 0.3, 0.1]))
    assert made.mean(axis=0) == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert made.max(axis=0).min() > 0.8
