"""What a rung says of itself while it trains: its progress, and its measurements at a step."""

from __future__ import annotations

import time
from itertools import takewhile
from typing import Any

import polars as pl

from foretell.corpus import Stream
from foretell.lm.measure import Examiner
from foretell.lm.phase import Phase, phases_of
from foretell.lm.rungfolder import RungFolder, write_json
from foretell.rung import Rung
from foretell.table.items import write_items

EVERY = 2.0  # seconds between two writings of progress


class Progress:
    """Write how far a rung is, now and then."""

    def __init__(self, folder: RungFolder, rung: Rung) -> None:
        self.path, self.rung = folder.progress, rung
        self.phase: Phase | None = None
        self.told: dict[str, Any] = {}
        self.written = 0.0
        self.began, self.begun_at, self.before = time.monotonic(), 0, 0

    def enter(self, phase: Phase, step: int) -> None:
        """Begin a phase at a step."""
        self.phase, self.began, self.begun_at = phase, time.monotonic(), step
        earlier = takewhile(lambda other: other != phase, phases_of(self.rung))
        self.before = sum(other.last - other.first for other in earlier) * self.rung.step_tokens

    def at(self, step: int, loss: float, learning_rate: float) -> None:
        """Tell of a step; written to disk at most every two seconds."""
        now = time.monotonic()
        if self.phase is None or now - self.written < EVERY:
            return
        self.written = now
        speed = (step - self.begun_at) * self.rung.step_tokens / max(1e-9, now - self.began)
        self._write(
            "training",
            phase=self.phase.name,
            step=step,
            steps=self.phase.last,
            tokens=step * self.rung.step_tokens,
            trained=self.before + (step - self.phase.first) * self.rung.step_tokens,
            D=self.rung.tokens(self.phase.D),
            loss=loss,
            lr=learning_rate,
            tokens_per_second=speed,
        )

    def done(self) -> None:
        """Tell that all is trained."""
        steps = self.rung.steps(self.rung.D[-1])
        self._write("done", step=steps, steps=steps, tokens=self.rung.tokens(self.rung.D[-1]))

    def failed(self, message: str) -> None:
        """Tell why training stopped."""
        self._write("failed", message=message)

    def _write(self, state: str, **more: Any) -> None:
        self.told = {
            **self.told,
            **more,
            "rung": self.rung.name,
            "N": self.rung.shape.N,
            "state": state,
            "time": time.time(),
        }
        try:
            write_json(self.path, self.told)
        except OSError:
            return  # progress that cannot be written must not end a training; a full disk shows at the checkpoint


def report_measurement(
    folder: RungFolder, examiner: Examiner, model: Any, stream: Stream, rung: Rung, D: int, step: int
) -> None:
    """Measure a model after `step` steps towards horizon D, and keep what came out; what is kept already is left."""
    run = rung.run_name(D)
    path = folder.measured(run, step)
    if path.is_file():
        return
    model.eval()
    measurements, scores = examiner.measure(model)
    tokens = step * rung.step_tokens
    examiner.keep_probe(folder.study, model, run, step, tokens)
    model.train()
    outcomes = [
        pl.DataFrame(
            {
                "run": run,
                "D": float(tokens),
                "metric": f"{name}/acc",
                "item": list(scored.ids),
                "outcome": scored.outcomes().astype("uint16"),
            }
        )
        for name, scored in scores.items()
    ]
    if outcomes:
        write_items(folder.study, pl.concat(outcomes), f"{run}+{step:09d}")
    used = {u.source: u for u in stream.usage(step)}
    write_json(
        path,
        {
            "run": run,
            "step": step,
            "D": tokens,
            "C": rung.shape.training_flop(tokens),
            "usage": {name: {"tokens": u.tokens, "unique": u.unique, "epochs": u.epochs} for name, u in used.items()},
            "pools": {pool.source: pool.tokens for pool in stream.pools},
            "end": step == rung.steps(D),
            "rows": [
                {
                    "metric": m.metric.model_dump(exclude_none=True),
                    "value": m.value,
                    "stderr": m.stderr,
                    "items": m.items,
                }
                for m in measurements
            ],
        },
    )
