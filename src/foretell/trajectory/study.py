"""The trace of a whole study: its tokens, tasks and what the tokens add to a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from foretell.corpus import Corpus
from foretell.errors import ForetellError
from foretell.methods.token_predictor import compare_predictors
from foretell.table import Observations, open_study
from foretell.trajectory.probe import read_runs
from foretell.trajectory.shipped import shipped_study, shipped_texts
from foretell.trajectory.summaries import summaries, verdicts
from foretell.trajectory.tasks import trace_task
from foretell.trajectory.trace import Trace, trace_tokens
from foretell.trajectory.validation import with_validation_loss


@dataclass(frozen=True)
class Traced:
    """Hold the trace of a study, the study with its validation loss, and what the tokens add to its table."""

    trace: Trace
    observations: Observations
    summaries: Observations
    verdicts: Observations | None

    @property
    def written(self) -> Observations:
        """Give the study with the summaries of its tokens and the verdicts on them."""
        whole = self.observations.merge(self.summaries)
        return whole.merge(self.verdicts) if self.verdicts else whole


def trace(
    study: str | Path | None = None,
    *,
    probe: str = "probe",
    starts: Sequence[float] | None = None,
    loss: str | None = None,
    seed: int = 0,
) -> Trace:
    """Trace tokens and tasks over the training of a study's runs; without a study, of the ladder that ships.

    `probe` names the stretch of text whose token losses the study keeps, `starts` the % of training from which trends
    are read, `loss` the validation loss (by default the study's, or the mean of its sources). Needs no torch. Raises
    StudyError where the study keeps no such losses.
    """
    with ExitStack() as kept:
        place = kept.enter_context(shipped_study()) if study is None else Path(study)
        made = trace_study(place, probe=probe, starts=starts, loss=loss, seed=seed).trace
    return replace(made, texts=tuple(shipped_texts())) if study is None else made


def trace_study(
    study: str | Path,
    *,
    probe: str = "probe",
    starts: Sequence[float] | None = None,
    loss: str | None = None,
    corpus: Corpus | None = None,
    seed: int = 0,
) -> Traced:
    """Trace a study folder, as `trace` does, and give what its table gains; a `corpus` checks the probe.

    Raises StudyError where the study keeps no such losses, or a document of the probe was trained on.
    """
    observations = open_study(Path(study))
    known, name = with_validation_loss(observations, loss)
    runs, said = read_runs(study, probe, observations, corpus)
    made = trace_tokens(runs, known, name, probe=probe, starts=starts)
    made = replace(made, notes=(*said, *made.notes))
    summed = summaries(runs, made.categories, observations)
    made = with_tasks(made, known, name, seed)
    asked = [m.metric for m in made.tasks if known.metrics[m.metric].is_share]
    verdict = verdicts(known.training(), asked, name, seed=seed)
    accuracies = [m.metric for m in made.tasks if known.metrics[m.metric].unit == "accuracy"]
    try:
        made = replace(made, predictors=tuple(compare_predictors(known.merge(summed), name, accuracies)))
    except ForetellError as error:
        made = replace(made, notes=(*made.notes, f"token predictors were not compared: {error}"))
    return Traced(made, known, summed, verdict)


def with_tasks(made: Trace, observations: Observations, loss: str, seed: int) -> Trace:
    """Trace every accuracy and margin of a study that has enough checkpoints; what has not is said."""
    found, notes = [], []
    for metric in observations.metrics.values():
        raw = metric.name.endswith("/acc_raw")  # beside the accuracy by length, it says the same again
        if (metric.unit == "accuracy" and not raw) or metric.name.endswith("/margin"):
            try:
                found.append(trace_task(observations, metric.name, loss, seed=seed))
            except ForetellError as error:
                notes.append(f"not compared: {error}")
    return replace(made, tasks=tuple(found), notes=(*made.notes, *notes))
