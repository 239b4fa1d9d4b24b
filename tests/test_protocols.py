"""Every protocol gives fits that hold no test row."""

import numpy as np
import polars as pl
import pytest

from protocols import PROTOCOLS, PYTHIA_ITEMS, Protocol, entries, protocol


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_test_row_is_inside_a_fit(name):
    made = protocol(name)
    assert made.groups
    for group in made.groups:
        for fit in (group.fit, group.every_fit):
            if fit is None or group.test is None:
                continue
            shared = fit.values.join(group.test.values, on=["run", "D", "metric"], how="inner")
            assert not len(shared)
            if name != "dmsl.horizon":  # there the same runs are forecast further on
                assert not set(fit.runs["name"]) & set(group.test.runs["name"])
            assert not fit.runs["held_out"].any()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_metric_of_a_protocol_can_be_fitted(name):
    made = protocol(name)
    for metric in made.metrics:
        assert any(metric in group.fit.metrics and len(group.fit.metric(metric)) >= 3 for group in made.groups)


def test_every_entry_of_the_file_has_a_protocol():
    assert set(entries()) == {name.split(".")[0] for name in PROTOCOLS}


@pytest.mark.parametrize(("name", "small"), [("datablations", "N < 4000000000"), ("marin", "C <= 3.1e19")])
def test_fit_rows_are_the_small_ones(name, small):
    assert all(len(group.fit.where(small).runs) == len(group.fit.runs) for group in protocol(name).groups)


def test_misfitting_keeps_the_best_learning_rate_of_each_model_and_length():
    group = protocol("misfitting").groups[0]
    best, every = (
        study.values.join(study.runs, left_on="run", right_on="name") for study in (group.fit, group.every_fit)
    )
    lowest = every.group_by("model", "D").agg(pl.col("value").min()).sort("model", "D")
    assert best.select("model", "D", "value").sort("model", "D").equals(lowest)
    assert len(best) == 48


def test_progressive_cuts_hold_out_what_costs_more():
    for group, share in zip(protocol("chinchilla.progressive").groups, (0.3, 0.5, 0.7), strict=True):
        fit, test = group.fit.metric("loss"), group.test.metric("loss")
        assert fit.inputs["C"].max() < test.inputs["C"].min()
        assert len(fit) / (len(fit) + len(test)) == pytest.approx(share, abs=0.01)
        assert max(fit.value.max(), test.value.max()) < 4


def test_pythia_accuracies_are_counts_of_the_stated_items():
    made = protocol("pythia")
    for metric, items in PYTHIA_ITEMS.items():
        counts = made.fit.metric(metric).value * items
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)


def test_btlm_counts_tokens_in_billions():
    group = protocol("obsscaling").groups[0]
    runs = group.fit.runs.filter(pl.col("name").str.contains("btlm"))
    assert runs["D"].to_list() == [0.627e12]


def test_random_splits_differ_and_are_the_same_each_time():
    groups = protocol("regmix.small").groups
    assert len(groups) == 20
    assert len({tuple(group.fit.runs["name"]) for group in groups}) == 20
    protocol.cache_clear()
    again: Protocol = protocol("regmix.small")
    assert again.groups[7].fit.runs["name"].equals(groups[7].fit.runs["name"])


def test_absent_testbeds_are_an_error(monkeypatch, tmp_path):
    import protocols

    monkeypatch.setenv("FORETELL_TESTBEDS", str(tmp_path))
    with pytest.raises(RuntimeError, match="there are no testbeds"):
        protocols.testbeds()
