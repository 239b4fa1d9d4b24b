"""What a rung is made of: its shape, its schedule, its horizons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from corpora import TINY, tiny_rung
from foretell.errors import LadderError, UnknownName
from foretell.rung import Shape, cosine_share, read_ladder, wsd_share
from foretell.rung.schedule import cooldown_steps

LADDER = """
[defaults]
shape = { layers = 1, width = 16, heads = 1, kv_heads = 1, mlp_width = 32, vocabulary = 264, sequence = 32 }
batch = 4
learning_rate = 0.01
warmup = 2
weights = { code = 0.25, prose = 0.75 }
[[rung]]
name = "small"
D = [1280, 2560]
[[rung]]
name = "large"
D = [2560]
shape = { width = 32 }
"""


def write(tmp_path, text):
    path = tmp_path / "ladder.toml"
    path.write_text(text)
    return path


def test_parameters_are_those_of_the_model_that_is_made():
    from foretell.lm.model import make_model

    for tied in (True, False):
        shape = Shape(layers=3, width=48, heads=4, kv_heads=2, mlp_width=80, vocabulary=264, sequence=32, tied=tied)
        model = make_model(shape, init_std=0.02, seed=0, eos=256)
        assert sum(p.numel() for p in model.parameters()) == shape.N_total
        outside = sum(p.numel() for n, p in model.named_parameters() if "embed" in n or "lm_head" in n)
        assert shape.N_total - outside == shape.N


def test_flop_are_those_that_a_profiler_counts():
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from foretell.lm.model import make_model

    shape = TINY.model_copy(update={"layers": 2, "sequence": 64})
    model = make_model(shape, init_std=0.02, seed=0, eos=256)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros((2, 64), dtype=torch.int64), use_cache=False)
    matrices = 2 * (shape.matrices + shape.vocabulary * shape.width)
    attention = counter.get_total_flops() / 128 - matrices
    whole = 4 * shape.layers * shape.width * shape.sequence  # the counter takes every pair, masked or not
    assert attention == pytest.approx(whole, rel=0.002)  # rotations are counted there
    assert shape.forward_flop == pytest.approx(matrices + whole * (shape.sequence + 1) / (2 * shape.sequence))


@given(st.integers(10, 4000), st.integers(0, 30), st.floats(0.05, 0.5))
def test_a_trunk_does_not_depend_on_where_it_ends(steps, warmup, share):
    branch = steps - cooldown_steps(steps, share)
    for step in {0, branch // 2, branch - 1}:
        assert wsd_share(step, steps, warmup, share) == wsd_share(step, 10 * steps, warmup, share)
    falling = [wsd_share(step, steps, 0, share) for step in range(branch, steps)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0.0


def test_a_cosine_ends_at_a_tenth():
    assert cosine_share(99, 100, 10) == pytest.approx(0.1, abs=0.001)
    assert cosine_share(9, 100, 10) == 1.0


def test_a_shared_trunk_is_counted_once():
    shared, apart = tiny_rung(), tiny_rung(schedule="cosine")
    assert apart.trained_tokens == 1280 + 2560
    assert shared.trained_tokens == (16 + 2 + 4) * 128  # the trunk of the longer, and both cool-downs


def test_what_changes_no_weight_changes_no_digest():
    assert tiny_rung().digest() == tiny_rung(held_out=True, family="f", after=("x",)).digest()
    assert tiny_rung().digest() != tiny_rung(seed=1).digest()


def test_matched_pools_shrink_with_the_horizon():
    rung = tiny_rung(pools={"code": 4000}, matched_to=5120)
    assert rung.pools_at(1280) == {"code": 1000.0}
    assert rung.pools_at(10_000) == {"code": 4000.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"code": 0.5}}, "sum to 0.5"),
        ({"D": ()}, "no horizon"),
        ({"D": (2560, 1280)}, "must rise"),
        ({"D": (130,)}, "a step is 128 tokens"),
        ({"warmup": 30}, "shorten the warm-up"),
        ({"name": "a/b"}, "names a folder"),
        ({"pools": {"other": 5}}, "without weight"),
        ({"learning_rate": -1.0}, "greater than 0"),
    ],
)
def test_a_rung_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        tiny_rung(**changes)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="3 heads do not cut a width of 16"):
        Shape(**{**TINY.model_dump(), "heads": 3, "kv_heads": 3})


def test_a_ladder_file_gives_its_rungs(tmp_path):
    ladder = read_ladder(write(tmp_path, LADDER))
    assert [rung.name for rung in ladder.rungs] == ["small", "large"]
    assert ladder.rung_named("large").shape.width == 32
    assert ladder.rung_named("large").shape.layers == 1
    with pytest.raises(UnknownName, match="did you mean small"):
        ladder.rung_named("smal")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = 4", "bach = 4", "did you mean batch"),
        ("D = [2560]", "D = []", "rung large: rung large has no horizon"),
        ('name = "large"', 'name = "small"', "two rungs are called small"),
        ("batch = 4", "batch = four", "cannot be read"),
        ("prose = 0.75", "prose = 0.5", "sum to 0.75"),
        ('name = "large"', 'name = "large"\nafter = ["none"]', "waits for none"),
        ("\n[defaults]", "format = 9\n[defaults]", "format 9"),
    ],
)
def test_a_ladder_file_that_makes_no_sense_names_the_place(tmp_path, old, new, message):
    with pytest.raises(LadderError, match=message):
        read_ladder(write(tmp_path, LADDER.replace(old, new, 1)))


def test_an_absent_ladder_says_how_to_make_one(tmp_path):
    with pytest.raises(LadderError, match="foretell plan"):
        read_ladder(tmp_path / "none.toml")
