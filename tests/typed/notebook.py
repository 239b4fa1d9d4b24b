"""A notebook's calls, for the type checker alone: each has the type that its docstring promises."""

from pathlib import Path
from typing import assert_type

import numpy as np

import foretell as ft


def forecasts(place: Path) -> None:
    study = ft.read("table", place, run="run", N="N", D="D", metric="loss")
    assert_type(study, ft.Observations)
    assert_type(ft.save(study, place), ft.Observations)
    assert_type(ft.open(place), ft.Observations)
    aim = ft.target("7B", "1T", U="2T")
    assert_type(aim, ft.Target)
    made = ft.predict(study, [aim], ["c4/loss"], method="chinchilla", settings=ft.Settings(draws=50))
    assert_type(made, ft.Forecasts)
    assert_type(made[0].interval(0.8), tuple[float, float])
    assert_type(ft.backtest(study).error(), float)
    backtests, failures = ft.compare(study, methods=["ladder"])
    assert_type(backtests, list[ft.Backtest])
    assert_type(failures, list[str])
    assert_type(ft.ablate(study, by=["sizes"]), ft.Ablation)
    assert_type(ft.noise_of(study, ["c4/loss"]), list[ft.Noise])
    assert_type(ft.rank(study, ["arc_easy"]), ft.Ranking)
    assert_type(ft.calibration(study), ft.Calibration)
    seen, watched = ft.outlook(study, "1B")
    assert_type(seen, ft.Outlook)
    assert_type(watched, ft.Watch)
    fit = ft.fit_metric(study, "chinchilla", "c4/loss")
    assert_type(fit, ft.Fit)
    assert_type(ft.fit(ft.LAWS["chinchilla"], study.metric("c4/loss")), ft.Fit)
    assert_type(ft.doubts_of(fit), list[str])
    assert_type(ft.law_named("skaling"), ft.Law)
    assert_type(ft.loss_to_bpb(2.5, 0.25), float)


def shown(study: ft.Observations, place: Path) -> None:
    aim = ft.target("7B", "1T")
    sealed = ft.seal(study, place / "f.json", [aim], study="mine")
    assert_type(sealed, ft.Seal)
    assert_type(ft.score(sealed, {"arc_easy/acc": 0.7}), ft.Scorecard)
    assert_type(ft.score(place / "f.json", study), ft.Scorecard)
    assert_type(ft.write_report(study, place / "r.html", [aim]), Path)
    assert_type(ft.export(ft.predict(study, [aim]), place / "t.tex"), Path)
    assert_type(ft.export([ft.fit_metric(study, "skaling", "c4/loss")], place / "t.csv"), Path)
    assert_type(ft.draw_forecasts(ft.predict(study, [aim]), place / "f.pdf"), Path)


def trained(place: Path, study: ft.Observations) -> None:
    made = ft.plan("7B", "4T", "1%", request=ft.Request(rungs=5))
    assert_type(made, ft.Plan)
    assert_type(made.ladder(), ft.Ladder)
    assert_type(ft.next_runs(study, "7B", "4T"), list[ft.NextRun])
    corpus = ft.build_corpus({"web": ft.Texts(str(place))}, place)
    assert_type(corpus, ft.Corpus)
    assert_type(ft.read_ladder(place), ft.Ladder)
    assert_type(ft.train(place), ft.Trained)
    asked = ft.Questions(corpus=corpus, cloze=(ft.make_cloze(corpus, "web"),))
    measured = ft.evaluate_checkpoint(ft.load_checkpoint(place), asked, D=1e9)
    assert_type(measured, ft.Evaluation)
    assert_type(ft.write_evaluations([measured], place), ft.Observations)
    assert_type(ft.trace(place), ft.Trace)


def mixed(study: ft.Observations) -> None:
    panel = ft.panel_of(study)
    model = ft.choose_model(panel).model
    assert_type(model, ft.MixtureModel)
    pools = ft.Pools({"web": 1e9})
    goal = ft.Goal(1e9, 1e10, {"web/loss": 1.0}, pools, ft.Region.whole(panel.domains))
    assert_type(ft.best_mixture(model, goal), ft.Optimum)
    assert_type(ft.carry(ft.horizons_of(panel, "web/loss"), pools, 1e10), ft.Transfer)


def by_item(study: ft.Observations, place: Path) -> None:
    items = ft.open_items(place)
    assert items is not None
    outcomes = ft.ItemOutcomes.of_items(items, study, "quiz/acc")
    assert_type(ft.Cluster().of_outcomes(outcomes, [ft.target("7B", "1T")], ft.Settings()), list[ft.Forecast])
    one = ft.Attempts("1B", 1e20, np.array([8, 8]), np.array([1, 4]))
    assert_type(ft.fit_pass_at_k([one], [1, 2]).share(1e22, 4), float)
