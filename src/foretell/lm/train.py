"""Training a rung: every horizon from one trunk, resumable at any moment to the same weights."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foretell.corpus import Corpus, Stream
from foretell.errors import LadderError, TrainError
from foretell.lm.checkpoint import complete_checkpoints, load_checkpoint, save_checkpoint, save_model
from foretell.lm.device import check_memory, device_named
from foretell.lm.group import Group, together
from foretell.lm.measure import Examiner, make_examiner
from foretell.lm.model import import_torch, make_model, next_token_losses, rows_of
from foretell.lm.optimiser import make_optimiser
from foretell.lm.phase import TRUNK, Phase, phases_of
from foretell.lm.report import Progress, report_measurement
from foretell.lm.rungfolder import RungFolder, write_json
from foretell.lm.task_checkpoint import STATE
from foretell.rung import Evaluation, Rung
from foretell.units import format_count
from foretell.wholefile import whole_file

SAVE_EVERY = 60.0  # seconds between checkpoints: what a killed worker loses at most
WORSE_THAN_UNIFORM = 1.0  # nats above the loss of a uniform guess: a run there does not come back
PATIENCE = 20  # steps in a row that a loss must be so high: one bad batch is not a divergence

log = logging.getLogger(__name__)


def train_rung(
    rung: Rung,
    corpus: Corpus,
    study: str | Path,
    *,
    evaluation: Evaluation | None = None,
    device: str = "cpu",
    processes: int = 1,
    save_every: float = SAVE_EVERY,
) -> list[str]:
    """Train every horizon of a rung and measure it, going on from what is in the study; give the names of its runs.

    Measurements, curves and models go to `rungs/NAME/` of the study, progress to `progress/NAME.json`. Killed at any
    moment and called again, it ends with the same weights, bit for bit on a processor with as many threads. Raises
    CorpusError, LadderError and TrainError before training for what cannot be trained, and TrainError when the loss
    diverges or the disk is full; what was finished stays.
    """
    place = device_named(device)
    check_rung(rung, corpus)
    check_memory(rung, place, processes)
    folder = RungFolder(Path(study), rung.name)
    folder.claim(rung, corpus)
    told = evaluation or Evaluation()
    try:
        together(processes, _train, rung, corpus, folder, told, place, save_every)
    except Exception as error:
        Progress(folder, rung).failed(str(error))
        if isinstance(error, OSError):
            raise TrainError(
                f"rung {rung.name} cannot go on: {error}; what was finished stays: mend that and train again"
            ) from None
        raise
    return [rung.run_name(D) for D in rung.D]


def check_rung(rung: Rung, corpus: Corpus) -> None:
    """Refuse a rung that a corpus cannot feed: no weights, a vocabulary too small, or too many epochs.

    Raises CorpusError for pools that are not there, LadderError for the rest.
    """
    if not rung.weights:
        raise LadderError(f"rung {rung.name} has no weights; say what it trains on, such as weights = {{code = 1.0}}")
    if rung.shape.vocabulary < rows_of(corpus.title.vocabulary):
        raise LadderError(
            f"rung {rung.name} has a vocabulary of {rung.shape.vocabulary}, the corpus's tokenizer "
            f"{corpus.title.vocabulary}; give at least {rows_of(corpus.title.vocabulary)}"
        )
    for D in rung.D:
        for used in stream_of(rung, corpus, D).usage(rung.steps(D)):
            if used.epochs > rung.most_epochs:
                raise LadderError(
                    f"run {rung.run_name(D)} takes {format_count(used.tokens)} tokens of {used.source}, which has "
                    f"{format_count(used.tokens / used.epochs)}: {used.epochs:.1f} epochs, more than most_epochs = "
                    f"{rung.most_epochs:g}; lower its weight or D, add text, or raise most_epochs"
                )


def stream_of(rung: Rung, corpus: Corpus, D: float) -> Stream:
    """Make the batches of a horizon."""
    return Stream(corpus, rung.weights, rung.pools_at(D), rung.batch, rung.shape.sequence, rung.seed)


@dataclass
class _Session:
    """Hold what one process trains with."""

    group: Group
    rung: Rung
    corpus: Corpus
    folder: RungFolder
    examiner: Examiner
    device: str
    save_every: float
    model: Any
    forward: Any
    optimiser: Any
    progress: Progress
    marks: frozenset[int]
    curve: list[tuple[float, float]] = field(default_factory=list)
    diverging: int = 0


def _train(
    group: Group, rung: Rung, corpus: Corpus, folder: RungFolder, evaluation: Evaluation, device: str, save_every: float
) -> None:
    torch = import_torch()
    if group.size > 1 and device.startswith("cuda"):
        device = f"cuda:{group.rank}"
    session = _Session(
        group=group,
        rung=rung,
        corpus=corpus,
        folder=folder,
        examiner=make_examiner(corpus, evaluation, rung.shape.sequence),
        device=device,
        save_every=save_every,
        model=None,
        forward=None,
        optimiser=None,
        progress=Progress(folder, rung),
        marks=frozenset() if rung.separate else trunk_marks(rung, evaluation.checkpoints),
    )
    for phase in phases_of(rung):
        if not _is_done(session, phase):
            _run(session, phase, torch)
        group.wait()
    if group.leads:
        session.progress.done()
        shutil.rmtree(folder.checkpoints, ignore_errors=True)


def trunk_marks(rung: Rung, count: int) -> frozenset[int]:
    """Choose the steps at which a trunk is measured: `count` of them, evenly in log D from the end of the warm-up."""
    last = rung.trunk_steps(rung.D[-1])
    first = max(rung.warmup, last // 64, 1)
    return frozenset(round(x) for x in np.geomspace(first, last, count)) if count and first < last else frozenset()


def _renew(session: _Session) -> None:
    """Make the untrained model, and an optimiser without memory."""
    torch, rung = import_torch(), session.rung
    model = make_model(rung.shape, init_std=rung.init_std, seed=rung.seed, eos=session.corpus.tokenizer.eos)
    if session.model is None:
        session.model = model.to(session.device)
        session.forward = torch.compile(session.model, dynamic=False) if rung.compiled else session.model
    else:  # the same object: a compiled forward pass belongs to it
        session.model.load_state_dict(model.state_dict())
    session.optimiser = make_optimiser(session.model, rung)


def _is_done(session: _Session, phase: Phase) -> bool:
    """Say whether a phase has ended: its run is there, or what a trunk leads to is there or can go on from further."""
    if phase.run:
        return session.folder.final(phase.run).is_dir()
    newest = complete_checkpoints(session.folder.checkpoints, TRUNK)
    if newest and _step_of(newest[0]) >= phase.last:
        return True
    return all(session.folder.final(session.rung.run_name(D)).is_dir() for D in session.rung.D if D >= phase.D)


def _run(session: _Session, phase: Phase, torch: Any) -> None:
    step = _resume(session, phase)
    rung, group, folder = session.rung, session.group, session.folder
    stream = stream_of(rung, session.corpus, phase.D)
    saved, session.curve, session.diverging = time.monotonic(), [], 0
    session.progress.enter(phase, step)
    while step < phase.last:
        rate = phase.learning_rate(rung, step)
        loss = _step(session, stream.batch_at(step), rate, torch)
        step += 1
        _watch(session, loss, step)
        session.curve.append((loss, rate))
        if group.leads:
            session.progress.at(step, loss, rate)
            if phase.name == TRUNK and step in session.marks:
                report_measurement(folder, session.examiner, session.model, stream, rung, rung.D[-1], step)
            if time.monotonic() - saved > session.save_every and step < phase.last:
                _save(session, phase, step)
                saved = time.monotonic()
    if not group.leads:
        return
    if not phase.run:
        _save(session, phase, step)
        return
    report_measurement(folder, session.examiner, session.model, stream, rung, phase.D, step)
    _keep_curve(session, phase, step)
    final = folder.final(phase.run)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_model(part, session.model)
    session.corpus.tokenizer.save(part)
    write_json(part / STATE, {"run": phase.run, "step": step, "D": rung.tokens(phase.D)})
    part.replace(final)
    for path in complete_checkpoints(folder.checkpoints, phase.run):
        shutil.rmtree(path)


def _resume(session: _Session, phase: Phase) -> int:
    """Bring model and optimiser to the newest state from which a phase can go on, and give its step."""
    places = [p for p in complete_checkpoints(session.folder.checkpoints, phase.name) if _step_of(p) <= phase.last]
    if phase.source and phase.source != phase.name:
        places += [
            p for p in complete_checkpoints(session.folder.checkpoints, phase.source) if _step_of(p) == phase.first
        ]
    for place in places:
        _renew(session)
        try:
            step = int(load_checkpoint(place, session.model, session.optimiser)["step"])
        except TrainError as error:
            log.warning("%s; an earlier checkpoint is used", error)
            continue
        break
    else:
        if phase.name != TRUNK and phase.source:
            raise TrainError(
                f"rung {session.rung.name} has no trunk at step {phase.first} to cool down from; "
                f"remove {session.folder.checkpoints} to train the trunk again"
            )
        _renew(session)
        step = 0
    if session.group.leads:
        for path in session.folder.curves.glob(f"{phase.name}-*.npy"):
            if int(path.stem.rpartition("-")[2]) > step:
                path.unlink()  # steps that are trained again
    return step


def _step(session: _Session, windows: Any, rate: float, torch: Any) -> float:
    """Take one optimiser step on a batch (batch, sequence + 1); give its mean loss."""
    rung, group = session.rung, session.group
    mine = torch.from_numpy(windows[group.rank :: group.size]).to(session.device)
    total = torch.zeros((), dtype=torch.float64)
    for rows in mine.split(rung.micro_batch or rung.batch):
        low = torch.autocast(session.device.partition(":")[0], torch.bfloat16) if rung.precision == "bf16" else None
        with low or contextlib.nullcontext():
            logits = session.forward(rows[:, :-1], use_cache=False).logits
        loss = next_token_losses(logits, rows[:, 1:]).sum() / (rung.batch * rung.shape.sequence)
        loss.backward()
        total += loss.detach().double().cpu()
    group.add([p.grad for p in session.model.parameters()])
    group.add([total])
    torch.nn.utils.clip_grad_norm_(session.model.parameters(), rung.clip)
    for part in session.optimiser.param_groups:
        part["lr"] = rate
    session.optimiser.step()
    session.optimiser.zero_grad(set_to_none=True)
    return float(total)


def _watch(session: _Session, loss: float, step: int) -> None:
    """Stop a rung whose loss is no number, or stays above that of a uniform guess."""
    rung = session.rung
    uniform = math.log(rung.shape.vocabulary)
    session.diverging = session.diverging + 1 if loss > uniform + WORSE_THAN_UNIFORM else 0
    if not math.isfinite(loss) or session.diverging >= PATIENCE:
        raise TrainError(
            f"rung {rung.name} diverged: its loss is {loss:.4g} at step {step} (a uniform guess has {uniform:.2f}); "
            f"lower its learning rate, now {rung.learning_rate:g}; other rungs are not touched"
        )


def _save(session: _Session, phase: Phase, step: int) -> None:
    _keep_curve(session, phase, step)
    place = session.folder.checkpoints / f"{phase.name}-{step:09d}"
    save_checkpoint(place, session.model, session.optimiser, {"step": step, "rung": session.rung.digest()})
    for old in complete_checkpoints(session.folder.checkpoints, phase.name)[1:]:
        shutil.rmtree(old)


def _keep_curve(session: _Session, phase: Phase, step: int) -> None:
    if session.curve:
        session.folder.curves.mkdir(parents=True, exist_ok=True)
        first = step - len(session.curve)
        path = session.folder.curves / f"{phase.name}-{first:09d}-{step:09d}.npy"
        with whole_file(path) as part, part.open("wb") as file:
            np.save(file, np.array(session.curve, dtype=np.float32))
        session.curve = []


def _step_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
