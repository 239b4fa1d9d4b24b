"""Tokens fall into the categories of the paper's rule, whatever their order, block or file."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from foretell.errors import StudyError
from foretell.trajectory import STARTS, Category, TokenLosses, classify, overlap_of
from foretell.trajectory.rule import starts_that_fit, windows_of
from foretell.trajectory.summaries import category_means, distribution

D = np.arange(1, 41) * 1e9


def losses_of(folder, table, run="run", D=D):
    name = hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()[:8]
    np.save(folder / f"{name}.npy", np.ascontiguousarray(table.astype(np.float16)))
    return TokenLosses.of_matrix(run, D[: len(table)], folder / f"{name}.npy")


def by_hand(table, first):
    """Apply the rule to one token at a time with scipy's regression."""
    found = []
    for token in table[first:].T.astype(np.float64):
        ppl = np.exp(token)
        x = np.arange(len(ppl))
        line = stats.linregress(x, ppl / ppl[0])
        if line.pvalue < 0.05:
            found.append(Category.UPWARD if line.slope > 0 else Category.DOWNWARD)
            continue
        ends = ppl[0] * (line.intercept + line.slope * x[[0, -1]]) / np.exp(token.mean())
        found.append(Category.STAGNATED if (np.abs(ends - 1) <= 0.05).all() else Category.OTHER)
    return np.array(found)


def simulated(rng, c=40, m=400):
    slope = rng.choice([-0.02, -0.004, 0.0, 0.004, 0.02], m)
    noise = rng.choice([0.01, 0.05, 0.3], m)
    return np.maximum(3 + slope * np.arange(c)[:, None] + noise * rng.normal(size=(c, m)), 0).astype(np.float16)


def test_the_sums_agree_with_a_regression_a_token(tmp_path):
    table = simulated(np.random.default_rng(0))
    made = classify(losses_of(tmp_path, table))
    for at, window in enumerate(made.windows):
        np.testing.assert_array_equal(made.codes[at], by_hand(table, window.first))
    assert set(np.unique(made.codes)) == set(Category)


def test_a_start_is_the_first_checkpoint_after_so_much_of_training():
    assert [window.first for window in windows_of(D, STARTS)] == [3, 7, 11, 15, 19, 23, 27]
    assert windows_of(np.array([1.0, 2, 4, 8, 16]), [20])[0].first == 2


def test_neither_order_nor_blocks_nor_threads_matter(tmp_path, monkeypatch):
    table = simulated(np.random.default_rng(1), m=3000)
    whole = classify(losses_of(tmp_path, table), [50, 10, 30])
    order = np.random.default_rng(2).permutation(3000)
    shuffled = classify(losses_of(tmp_path, table[:, order]), [10, 30, 50], threads=1)
    for start in (10, 30, 50):
        mine, other = (made.codes[made.starts.index(start)] for made in (whole, shuffled))
        np.testing.assert_array_equal(mine[order], other)
    monkeypatch.setattr(TokenLosses.blocks, "__defaults__", (177,))
    again = classify(losses_of(tmp_path, table), [50, 10, 30])
    np.testing.assert_array_equal(again.codes, whole.codes)
    np.testing.assert_array_equal(again.counts, whole.counts)
    assert (again.counts.sum(1) == 3000).all()


def test_flat_tokens_are_called_moving_as_often_as_the_test_allows(tmp_path):
    rng = np.random.default_rng(3)
    tokens = 40_000
    ppl = 20 * (1 + 0.02 * rng.normal(size=(20, tokens)))
    made = classify(losses_of(tmp_path, np.log(ppl)), [0, 50])
    for at in (0, 1):
        share = made.shares[at]
        error = np.sqrt(0.025 * 0.975 / tokens)
        assert abs(share[Category.UPWARD] - 0.025) < 4 * error + 1e-3  # float16 adds a little
        assert abs(share[Category.DOWNWARD] - 0.025) < 4 * error + 1e-3
        assert share[Category.STAGNATED] == pytest.approx(0.95, abs=0.006)


def test_a_known_trend_is_found_as_often_as_its_power_says(tmp_path):
    rng = np.random.default_rng(4)
    c, tokens, slope, noise = 20, 20_000, 0.004, 0.05
    x = np.arange(c)
    ppl = 10 * (1 + slope * x[:, None] + noise * rng.normal(size=(c, tokens)))
    made = classify(losses_of(tmp_path, np.log(ppl)), [0])
    shift = slope * np.sqrt(np.sum((x - x.mean()) ** 2)) / noise
    power = stats.nct.sf(stats.t.ppf(0.975, c - 2), c - 2, shift)
    assert made.shares[0][Category.UPWARD] == pytest.approx(power, abs=4 * 0.5 / np.sqrt(tokens) + 0.003)


def test_a_constant_token_is_stagnated_and_an_exact_line_is_not(tmp_path):
    c = 12
    rise = np.log(1.0 + 0.25 * np.arange(c))
    table = np.stack([np.full(c, 2.5), np.zeros(c), rise, rise[::-1]], axis=1)
    made = classify(losses_of(tmp_path, table), [0])
    expected = [Category.STAGNATED, Category.STAGNATED, Category.UPWARD, Category.DOWNWARD]
    assert made.codes[0].tolist() == expected


def test_too_few_checkpoints_are_refused_and_the_starts_that_fit_are_told(tmp_path):
    table = simulated(np.random.default_rng(5), c=10, m=5)
    with pytest.raises(StudyError, match=r"2 checkpoints from 85 % .* start at 80 % or before"):
        classify(losses_of(tmp_path, table), [10, 85])
    with pytest.raises(StudyError, match="has 2 checkpoints, a trend needs 3"):
        classify(losses_of(tmp_path, table[:2]))
    with pytest.raises(StudyError, match="120 %"):
        classify(losses_of(tmp_path, table), [120])
    assert starts_that_fit(D[:4], STARTS) == [10, 20, 30, 40, 50]
    assert starts_that_fit(D[:2]) == []


def test_a_matrix_stored_by_columns_is_refused(tmp_path):
    np.save(tmp_path / "columns.npy", np.asfortranarray(np.ones((5, 7), np.float16)))
    with pytest.raises(StudyError, match="column by column"):
        TokenLosses.of_matrix("a", D[:5], tmp_path / "columns.npy")


def test_losses_that_are_no_numbers_are_named(tmp_path):
    table = simulated(np.random.default_rng(6), m=300)
    for checkpoint, there in ((39, "4e+10"), (12, "1.3e+10")):
        broken = table.copy()
        broken[checkpoint, 217] = np.nan
        with pytest.raises(StudyError) as raised:
            classify(losses_of(tmp_path, broken, "a"), [10])
        assert f"'a' has a loss that is no number at D = {there}, token 217" in str(raised.value)


def test_a_file_cut_short_or_of_another_kind_is_refused(tmp_path):
    table = simulated(np.random.default_rng(7), m=300)
    losses = losses_of(tmp_path, table)
    path = losses.rows[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(StudyError, match="cut short"):
        TokenLosses.of_matrix("a", D, path)
    with pytest.raises(StudyError, match=r"cut short: token 250 is missing"):
        classify(losses)
    np.save(tmp_path / "other.npy", table.astype(np.float32))
    with pytest.raises(StudyError, match="holds float32"):
        TokenLosses.of_matrix("a", D, tmp_path / "other.npy")
    with pytest.raises(StudyError, match="3 checkpoints were named"):
        TokenLosses.of_matrix("a", D[:3], tmp_path / "other.npy")
    np.save(tmp_path / "one.npy", table[0])
    with pytest.raises(StudyError, match="float16 of"):
        TokenLosses.of_files("a", D[:1], [tmp_path / "one.npy"], 299)


def test_overlap_counts_the_tokens_of_both(tmp_path):
    c = 12
    rise, flat = np.log(1.0 + 0.25 * np.arange(c)), np.full(c, 2.0)
    small = classify(losses_of(tmp_path, np.stack([flat, flat, rise, rise], 1), "small"), [0])
    large = classify(losses_of(tmp_path, np.stack([flat, flat, flat, rise], 1), "large"), [0])
    made = overlap_of(small, large, Category.STAGNATED, 0)
    assert (made.jaccard, made.containment, made.expected) == (2 / 3, 1.0, 0.75)
    assert np.isnan(overlap_of(small, large, Category.DOWNWARD, 0).containment)
    with pytest.raises(StudyError, match="not classified from 30 %"):
        overlap_of(small, large, Category.UPWARD, 30)
    other = classify(losses_of(tmp_path, np.stack([flat, rise], 1), "other"), [0])
    with pytest.raises(StudyError, match="4 tokens"):
        overlap_of(small, other, Category.UPWARD, 0)


def test_quantiles_and_means_of_categories_are_those_of_the_tokens(tmp_path):
    table = simulated(np.random.default_rng(8), m=1000)
    losses = losses_of(tmp_path, table)
    mean, quantiles = distribution(losses, (0.1, 0.5))
    np.testing.assert_allclose(mean, table.astype(np.float64).mean(1))
    np.testing.assert_array_equal(quantiles[:, 1], np.sort(table, 1)[:, 500])
    made = classify(losses, [10])
    means = category_means([losses], made, 10)[0]
    for category in Category:
        mine = made.codes[0] == category
        np.testing.assert_allclose(means[:, category], table[:, mine].astype(np.float64).mean(1))
