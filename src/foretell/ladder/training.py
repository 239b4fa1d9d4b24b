"""Training a ladder: its rungs become jobs, and what they measure becomes a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.corpus import Corpus, open_corpus
from foretell.errors import CorpusError, LadderError, TrainError
from foretell.execute import Ended, Job, executor_named
from foretell.ladder.gather import gather
from foretell.rung import Evaluation, Ladder, Rung, read_ladder
from foretell.table import Observations

JOBS = "jobs"
CALL = "foretell.ladder.training:train_one"
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Trained:
    """Hold how each rung's job ended, and the study as it then stands (None while nothing is measured)."""

    ended: tuple[Ended, ...]
    observations: Observations | None

    @property
    def failed(self) -> list[Ended]:
        """List the rungs that did not end well."""
        return [one for one in self.ended if one.state != "done"]


def train_ladder(
    path: str | Path,
    *,
    on: str = "local",
    options: Mapping[str, Any] | None = None,
    rungs: list[str] | None = None,
    device: str = "cpu",
    processes: int = 1,
    save_every: float = 60.0,
    retries: int = 2,
    on_end: Callable[[Ended], None] | None = None,
) -> Trained:
    """Train the rungs of a ladder file that are not trained yet, one job a rung, and gather what they measure.

    `on` is local, ray or slurm, with its `options`; `processes` train one rung together. All that can be checked is
    checked before the first job. A rung that fails leaves the others alone. Raises LadderError, CorpusError,
    TrainError, UnknownName and ExecuteError for what cannot be started.
    """
    from foretell.lm.train import check_rung

    if not save_every > 0:  # nan as well
        raise TrainError(f"a checkpoint every {save_every:g} seconds cannot be kept; give more than 0, such as 60")
    if processes < 1 or retries < 0:
        raise TrainError(f"{processes} processes and {retries} retries were asked for; give at least 1 and 0")
    file = Path(path).resolve()
    ladder = read_ladder(file)
    chosen = [ladder.rung_named(name) for name in rungs] if rungs else list(ladder.rungs)
    corpus = open_corpus(corpus_of(file, ladder))
    for rung in chosen:
        check_rung(rung, corpus)
    study = study_of(file, ladder)
    if not DEVICE.fullmatch(device):  # whether it is there, the machine that trains will say
        raise TrainError(f"no device is called {device!r}; devices are auto, cpu, cuda, and cuda:0, cuda:1, …")
    check_evaluation(file, ladder.evaluation, corpus, {rung.shape.sequence for rung in chosen})
    names = {rung.name for rung in chosen}
    jobs = [
        Job(
            name=rung.name,
            call=CALL,
            arguments={
                "ladder": str(file),
                "rung": rung.name,
                "digest": rung.digest(),
                "device": device,
                "processes": processes,
                "save_every": save_every,
            },
            cores=processes,
            gpus=processes if device not in ("cpu", "auto") else 0,
            after=tuple(name for name in rung.after if name in names),
        )
        for rung in _largest_first(chosen)
    ]

    def told(one: Ended) -> None:
        if one.state == "done" and one.tries:  # what an earlier call trained is gathered at the end
            gather(ladder, study)
        if on_end:
            on_end(one)

    ended = executor_named(on, **dict(options or {})).run(jobs, study / JOBS, on_end=told, retries=retries)
    return Trained(tuple(ended), gather(ladder, study))


def check_evaluation(file: Path, evaluation: Evaluation, corpus: Corpus, sequences: set[int]) -> None:
    """Refuse a corpus whose held-out text is too little for what is to be measured on every checkpoint.

    Raises LadderError, naming what asks for it.
    """
    from foretell.lm.measure import make_examiner

    bare = [source for source in corpus.sources if not len(corpus.held_out(source))]
    if bare:
        raise LadderError(
            f"{', '.join(bare)} in the corpus of {file} has no held-out text, so no loss can be measured; "
            "build the corpus with a larger --held-out"
        )
    try:
        for sequence in sorted(sequences):
            make_examiner(corpus, evaluation, sequence)
    except CorpusError as error:
        raise LadderError(
            f"what [evaluation] of {file} asks for cannot be measured on its corpus: {error} "
            "(probe, cloze, items, prompt and option under [evaluation]; --held-out of foretell corpus build)"
        ) from None


def train_one(
    ladder: str, rung: str, digest: str, device: str = "cpu", processes: int = 1, save_every: float = 60.0
) -> list[str]:
    """Train one rung of a ladder file: what a job calls. Raises LadderError when the file changed meanwhile."""
    from foretell.errors import LadderError
    from foretell.lm.device import use_own_cores
    from foretell.lm.train import train_rung

    file = Path(ladder)
    read = read_ladder(file)
    chosen = read.rung_named(rung)
    if chosen.digest() != digest:
        raise LadderError(f"rung {rung} of {file} was edited after its job was sent; train the ladder again")
    use_own_cores()
    return train_rung(
        chosen,
        open_corpus(corpus_of(file, read)),
        study_of(file, read),
        evaluation=read.evaluation,
        device=device,
        processes=processes,
        save_every=save_every,
    )


def corpus_of(file: Path, ladder: Ladder) -> Path:
    """Give the folder of a ladder's corpus."""
    return file.parent / ladder.corpus


def study_of(file: Path, ladder: Ladder) -> Path:
    """Give the folder of a ladder's study."""
    return file.parent / ladder.study


def _largest_first(rungs: list[Rung]) -> list[Rung]:
    """Order rungs so that the longest begins first, which packs cores best (Graham's rule)."""
    return sorted(rungs, key=lambda rung: -rung.training_flop)
