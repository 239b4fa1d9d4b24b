"""Measuring a checkpoint: losses by source, cloze tasks and the probe, kept as one file each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.corpus import Corpus
from foretell.lm.cloze import ClozeTask, make_cloze
from foretell.lm.probe import Probe, make_probe, write_losses, write_probe
from foretell.lm.task_measurement import Measurement, of_loss, of_scores
from foretell.lm.validation import validation_loss
from foretell.rung import Evaluation

PROBE = "probe"


@dataclass(frozen=True)
class Examiner:
    """Hold what a ladder's checkpoints are measured on, made once from the held-out text."""

    corpus: Corpus
    sources: tuple[str, ...]
    evaluation: Evaluation
    sequence: int
    cloze: tuple[ClozeTask, ...]
    probe: Probe | None

    def measure(self, model: Any) -> tuple[list[Measurement], dict[str, Any]]:
        """Measure a model; give its measurements, and the scores of each cloze task by name."""
        made: list[Measurement] = []
        for source in self.sources:
            documents = self.corpus.held_out(source)
            loss = validation_loss(model, documents, sequence=self.sequence, most_tokens=self.evaluation.tokens)
            made += of_loss(source, loss)
        scores = {task.name: task.score(model) for task in self.cloze}
        for name, scored in scores.items():
            made += of_scores(name, scored)
        return made, scores

    def keep_probe(self, study: Path, model: Any, run: str, step: int, D: float) -> None:
        """Store the losses of the probe's tokens."""
        if self.probe:
            write_losses(write_probe(study, PROBE, self.probe), self.probe, run, step, D, self.probe.losses(model))


def make_examiner(corpus: Corpus, evaluation: Evaluation, sequence: int) -> Examiner:
    """Prepare what checkpoints are measured on; raises CorpusError when there is too little held-out text."""
    tasks = tuple(
        make_cloze(
            corpus,
            source,
            items=evaluation.items,
            prompt_tokens=evaluation.prompt,
            option_tokens=evaluation.option,
        )
        for source in evaluation.cloze
    )
    probe = make_probe(corpus, tokens=evaluation.probe, sequence=sequence) if evaluation.probe else None
    return Examiner(corpus, tuple(corpus.sources), evaluation, sequence, tasks, probe)
