"""`foretell plan`: which small runs to train for a target, what they cost, what they will tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.options import AsJson, Level

if TYPE_CHECKING:
    from foretell.ladder import Aim, Device, Expected, NextRun, Plan, Prior
    from foretell.rung import Rung

BUDGET = "1%"


def plan(
    N: Annotated[str, typer.Option("-N", "--N", help="Parameters of the target, such as 7B.", show_default=False)],
    D: Annotated[str, typer.Option("-D", "--D", help="Training tokens, such as 4T or 2xC.", show_default=False)],
    budget: Annotated[
        str, typer.Option(help="What the ladder may cost: a share of the target such as 1%, or FLOP such as 1e21.")
    ] = BUDGET,
    rungs: Annotated[int, typer.Option(help="Sizes of the ladder.")] = 4,
    horizons: Annotated[int, typer.Option(help="Most horizons of a rung.")] = 4,
    multiples: Annotated[
        str, typer.Option(help="Horizons to choose from, as multiples of 20 N tokens: 1,2,5,10. [0.5 to 20]")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Seeds of the two smallest rungs.")] = 1,
    recipe: Annotated[str, typer.Option(help="Learning rate, batch, warm-up: olmo or step-law.")] = "olmo",
    batch_rule: Annotated[
        str, typer.Option(help="The batch by another rule: olmo, step-law, or a number of sequences.")
    ] = "",
    schedule: Annotated[str, typer.Option(help="wsd (one trunk for all horizons) or cosine (a run for each).")] = "wsd",
    vocabulary: Annotated[str, typer.Option(help="Rows of the embedding.")] = "100K",
    sequence: Annotated[int, typer.Option(help="Tokens of a training sequence.")] = 4096,
    tied: Annotated[
        bool | None, typer.Option("--tied/--untied", help="Embedding as output head. [below 5B]", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="What it is trained on, for hours: h100, a100, cpu, …")] = "",
    devices: Annotated[int, typer.Option(help="How many of them.")] = 1,
    mfu: Annotated[float | None, typer.Option(help="Share of the device's peak that training reaches. [0.4]")] = None,
    mix: Annotated[
        list[str] | None, typer.Option(help="SOURCE=SHARE of the corpus, such as web=0.7; repeat for each.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="A study there is: which single run next? The budget is for that run.")
    ] = None,
    metric: Annotated[str, typer.Option(help="With --study: the loss to plan for. [its shared loss]")] = "",
    law: Annotated[
        str, typer.Option(help="The law believed: skaling or chinchilla; with --study any loss law. [auto]")
    ] = "",
    level: Level = 0.8,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the ladder there: ladder.toml.")] = None,
    with_target: Annotated[bool, typer.Option("--with-target", help="Add the target as a rung held out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: AsJson = False,
) -> None:
    """Choose the sizes and horizons that leave a target least in doubt for a budget, with their cost.

    With --study, the single runs that would add most to the runs there are. Nothing is trained.
    """
    from foretell import api
    from foretell import ladder as planning
    from foretell.api.plans import device_for, study_prior
    from foretell.cli.show import working
    from foretell.errors import LadderError, UnknownName
    from foretell.units import parse_count, parse_tokens

    parameters = parse_count(N, "N")
    tokens = parse_tokens(D, parameters)
    if schedule not in ("wsd", "cosine"):
        raise UnknownName("schedule", schedule, ("wsd", "cosine"))
    if devices < 1:
        raise LadderError(f"{devices} devices train nothing; give --devices 1 or more")
    if out is not None and out.exists() and not force:
        raise LadderError(f"{out} exists; choose another name (-o), or overwrite it with --force")
    known_device = planning.device_named(device) if device else None
    planning.device_hours(0.0, known_device or planning.DEVICES["h100"], mfu)  # refuses a share that is none
    asked = planning.Request(
        rungs=rungs, horizons=horizons, seeds=seeds, multiples=read_multiples(multiples),
        recipe=planning.Recipe(recipe, batch_rule), vocabulary=round(parse_count(vocabulary, "vocabulary")),
        sequence=sequence, schedule="wsd" if schedule == "wsd" else "cosine", weights=read_mix(mix or []), level=level,
    )  # fmt: skip
    prior, there = (None, []) if study is None else study_prior(api.open(study), metric, law)
    aim = planning.aim_at(parameters, tokens, asked, tied=tied, in_N_total=prior is not None and prior.in_N_total)
    on = known_device or device_for(aim)
    asked = planning.with_precision(asked, on)
    spend = planning.parse_budget(budget, aim)
    hours = _Hours(on, mfu, devices)
    with working("planning", quiet=json):
        if prior is None:
            believed = planning.shipped_prior(rungs * horizons, law)
            made = planning.make_plan(aim, spend, asked, believed)
            whole = made.ladder(with_target=with_target)
        else:
            lens = planning.Lens(prior, aim.N, aim.D)
            ranked = planning.rank_next(lens, lens.known, prior.rows, aim, asked, spend, there)
            if not ranked:
                raise LadderError(
                    f"no single run fits a budget of {spend:.3g} FLOP, or none that does would help; raise it"
                )
            now = lens.expected(lens.known, prior.rows, level)
            whole = planning.next_ladder(ranked[0], aim, asked, with_target=with_target)
    if out is not None:
        notes = _notes(aim, spend, made.expected if prior is None else ranked[0].expected)
        planning.write_ladder(whole, out, notes=notes, sources=planning.sources_of(asked), force=force)
    if json:
        _print_json(made if prior is None else None, None if prior is None else (now, ranked), aim, spend, hours)
        return
    if prior is None:
        _show_plan(made, hours)
    else:
        _show_next(prior, now, ranked, aim, hours)
    if out is not None:
        typer.echo(f"ladder written to {out}")


class _Hours:
    """Turn FLOP into the hours of the devices asked for."""

    def __init__(self, device: Device, mfu: float | None, count: int) -> None:
        self.device, self.mfu, self.count = device, device.mfu if mfu is None else mfu, count

    def __call__(self, flop: float) -> float:
        from foretell.ladder import device_hours

        return device_hours(flop, self.device, self.mfu)

    def words(self, flop: float) -> str:
        hours = self(flop)
        on = f"{_hours(hours)} {self.device.name} hours at {self.mfu:.0%} of {self.device.peak:.3g} FLOP/s"
        return on + (f", {_hours(hours / self.count)} hours on {self.count}" if self.count > 1 else "")


def read_multiples(text: str) -> tuple[float, ...]:
    """Read `1,2,5,10`, with or without xC behind each."""
    from foretell.errors import UnitError

    try:
        return tuple(float(part.strip().lower().removesuffix("xc")) for part in text.split(",") if part.strip())
    except ValueError:
        raise UnitError(f"multiples {text!r} cannot be read; write numbers such as 1,2,5,10") from None


def read_mix(pairs: list[str]) -> dict[str, float]:
    """Read SOURCE=SHARE pairs; raises LadderError where they do not sum to 1."""
    from foretell.errors import LadderError
    from foretell.rung.rung import SUM_TOLERANCE

    made: dict[str, float] = {}
    for pair in pairs:
        name, _, share = pair.partition("=")
        try:
            made[name] = float(share)
        except ValueError:
            raise LadderError(f"--mix {pair!r} is not SOURCE=SHARE, such as web=0.7") from None
        if not name or not 0 <= made[name] <= 1:
            raise LadderError(f"--mix {pair!r}: a share of a named source lies between 0 and 1")
    if made and abs(sum(made.values()) - 1) > SUM_TOLERANCE:
        raise LadderError(f"the shares of --mix sum to {sum(made.values()):.6g}, not to 1")
    return made


def _notes(aim: Aim, budget: float, expected: Expected) -> list[str]:
    from foretell.units import format_count

    return [
        f"A ladder for {format_count(aim.N)} parameters on {format_count(aim.D)} tokens ({aim.flop:.3g} FLOP), within "
        f"{budget:.3g} FLOP.",
        f"Expected {expected.level:.0%} interval of the target's loss: {_width(expected)}.",
        "FLOP count every matrix product, attention and output head included, and a shared trunk once.",
    ]


def _width(expected: Expected) -> str:
    return f"±{100 * expected.half_width:.2g} %"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _six(rung: Rung) -> float:
    return 6.0 * rung.shape.N * rung.trained_tokens


def _horizons(rung: Rung) -> str:
    from foretell.units import TOKENS_PER_PARAMETER, format_count

    times = ", ".join(f"{D / rung.shape.N / TOKENS_PER_PARAMETER:.2g}" for D in rung.D)
    ends = dict.fromkeys(format_count(D) for D in (rung.D[0], rung.D[-1]))
    return f"{' to '.join(ends)}: {times} xC"


def _show_plan(made: Plan, hours: _Hours) -> None:
    from rich.table import Table

    from foretell.cli.show import console
    from foretell.units import format_count

    aim, out = made.aim, console()
    out.print(
        f"target: N = {format_count(aim.N)}, D = {format_count(aim.D)}; {aim.flop:.3g} FLOP "
        f"(6ND: {6 * aim.shape.N * aim.D:.3g}); {hours.words(aim.flop)}"
    )
    columns = ("rung", "N", "N_total", "D", "batch", "learning rate", "warm-up", "FLOP", "6ND", "hours")
    table = Table(*columns, title="ladder", title_justify="left")
    for rung in made.rungs:
        flop = rung.training_flop
        table.add_row(
            rung.name, format_count(rung.shape.N), format_count(rung.shape.N_total), _horizons(rung), str(rung.batch),
            f"{rung.learning_rate:.3g}", str(rung.warmup), f"{flop:.3g}", f"{_six(rung):.3g}", _hours(hours(flop)),
        )  # fmt: skip
    out.print(table)
    out.print(
        f"cost: {made.flop:.3g} FLOP (6ND: {sum(map(_six, made.rungs)):.3g}), {made.flop / made.budget:.0%} of the "
        f"budget, {100 * made.flop / aim.flop:.2g} % of the target; {hours.words(made.flop)}"
    )
    expected = made.expected
    out.print(
        f"expected: the target's loss within {_width(expected)} at {expected.level:.0%}, from {expected.rows} rows"
    )
    out.print(_bend_words(expected))
    out.print(f"believed: {made.prior.source}; one run scatters by {100 * made.prior.noise:.2g} %")
    _show_ranked(made.next_runs, hours)


def _bend_words(expected: Expected) -> str:
    return (
        f"  that is what a fit will print, by coefficients and noise; ±{100 * expected.whole:.2g} % if the truth bends "
        "away from the law as real ladders did"
    )


def _show_next(prior: Prior, now: Expected, ranked: list[NextRun], aim: Aim, hours: _Hours) -> None:
    from foretell.cli.show import console
    from foretell.units import format_count

    out = console()
    low, high = now.interval
    out.print(f"target: N = {format_count(aim.N)}, D = {format_count(aim.D)}; {aim.flop:.3g} FLOP")
    out.print(f"believed: {prior.source}; one run scatters by {100 * prior.noise:.2g} %")
    out.print(f"now: {now.loss:.4g} within {_width(now)} at {now.level:.0%}, [{low:.4g}, {high:.4g}]")
    _show_ranked(ranked, hours)


def _show_ranked(ranked: tuple[NextRun, ...] | list[NextRun], hours: _Hours) -> None:
    from rich.table import Table

    from foretell.cli.show import console
    from foretell.units import format_count

    if not ranked:
        return
    table = Table(
        "next run", "N", "D", "FLOP", "hours", "then within", "worth",
        title="which run next: gain over cost^0.4", title_justify="left",
    )  # fmt: skip
    for run in ranked:
        table.add_row(
            run.rung.name, format_count(run.rung.shape.N), format_count(run.rung.D[0]), f"{run.flop:.3g}",
            _hours(hours(run.flop)), _width(run.expected), f"{run.worth:.2f}",
        )  # fmt: skip
    console().print(table)


def _print_json(
    made: Plan | None, ranked: tuple[Expected, list[NextRun]] | None, aim: Aim, budget: float, hours: _Hours
) -> None:
    from foretell.cli.show import print_json

    said: dict[str, Any] = {
        "target": {"N": aim.N, "D": aim.D, "flop": aim.flop, "flop_6ND": 6 * aim.shape.N * aim.D},
        "budget": budget,
        "device": {"name": hours.device.name, "mfu": hours.mfu, "count": hours.count},
    }
    if made is not None:
        said["rungs"] = [_rung_json(rung, hours) for rung in made.rungs]
        said |= {"flop": made.flop, "hours": hours(made.flop), "expected": _expected_json(made.expected)}
        said["prior"] = {"law": made.prior.law.name, "noise": made.prior.noise, "source": made.prior.source}
    now, runs = (None, made.next_runs) if made is not None else ranked or (None, ())
    if now is not None:
        said["expected"] = _expected_json(now)
    said["next"] = [
        {**_rung_json(run.rung, hours), "worth": run.worth, "expected": _expected_json(run.expected)} for run in runs
    ]
    print_json(said)


def _rung_json(rung: Rung, hours: _Hours) -> dict[str, Any]:
    kept = rung.model_dump(include={"name", "batch", "learning_rate", "warmup", "seed", "schedule", "precision"})
    counts = {"N": rung.shape.N, "N_total": rung.shape.N_total, "D": list(rung.D), "shape": rung.shape.model_dump()}
    flop = rung.training_flop
    return {**kept, **counts, "flop": flop, "flop_6ND": _six(rung), "hours": hours(flop)}


def _expected_json(expected: Expected) -> dict[str, Any]:
    low, high = expected.interval
    return {
        "loss": expected.loss, "low": low, "high": high, "half_width": expected.half_width, "level": expected.level,
        "whole": expected.whole, "spread": expected.spread,
        "bend": expected.bend, "rows": expected.rows,
    }  # fmt: skip
