"""A ladder trained on Ray or Slurm gives the observations that it gives here, also when a node is lost."""

import shutil
import threading
import time

import pytest
from ray_cluster import LEFT_OPEN

from corpora import EVALUATED, make_corpus
from foretell.ladder.training import train_ladder
from foretell.table import open_study

pytestmark = [pytest.mark.slow, *(pytest.mark.filterwarnings(ignored) for ignored in LEFT_OPEN)]

LADDER = f"""
corpus = "corpus"
study = "study"
{EVALUATED}
[defaults]
shape = {{ layers = 1, width = 16, heads = 1, kv_heads = 1, mlp_width = 32, vocabulary = 264, sequence = 32 }}
batch = 2
D = [12800, 25600]
learning_rate = 0.01
warmup = 2
most_epochs = 100
weights = {{ code = 0.25, prose = 0.75 }}
[[rung]]
name = "one"
[[rung]]
name = "two"
seed = 1
[[rung]]
name = "three"
seed = 2
after = ["one"]
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Train the ladder on this machine; give its folder."""
    folder = tmp_path_factory.mktemp("here")
    make_corpus(folder)
    (folder / "ladder.toml").write_text(LADDER)
    made = train_ladder(folder / "ladder.toml")
    assert [one.state for one in made.ended] == ["done"] * 3
    return folder


def elsewhere(here, tmp_path):
    shutil.copytree(here / "corpus", tmp_path / "corpus")
    shutil.copy(here / "ladder.toml", tmp_path / "ladder.toml")
    return tmp_path / "ladder.toml"


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("study/rungs/*/models/*/model.safetensors")}


def same(here, there):
    one, other = open_study(here / "study"), open_study(there / "study")
    return one.values.equals(other.values) and one.runs.equals(other.runs) and weights(here) == weights(there)


def test_ray_gives_what_this_machine_gives_though_a_node_is_lost(here, cluster, tmp_path):
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ladder = elsewhere(here, tmp_path)
    progress = tmp_path / "study" / "progress"

    def lose():  # once two rungs are in training, one of them is on the second node
        given_up = time.monotonic() + 300
        while len(list(progress.glob("*.json"))) < 2 and time.monotonic() < given_up:
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    made = train_ladder(ladder, on="ray", options={"address": cluster.address}, save_every=0.05)
    loser.join()
    assert [one.state for one in made.ended] == ["done"] * 3
    assert sum(one.tries for one in made.ended) == 4  # the one whose node was lost, once more
    assert same(here, tmp_path)


@pytest.mark.usefixtures("slurm_here")
def test_slurm_gives_what_this_machine_gives(here, tmp_path):
    made = train_ladder(elsewhere(here, tmp_path), on="slurm", options={"pause": "0.3"})
    assert [one.state for one in made.ended] == ["done"] * 3
    assert same(here, tmp_path)
