"""Predict a large language-model training run from small ones, with honest error bars."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretell.version import __version__

if TYPE_CHECKING:
    from foretell.api import (
        ablate,
        backtest,
        calibration,
        compare,
        fit_metric,
        metrics_of,
        open,
        outlook,
        predict,
        target,
    )  # fmt: skip
    from foretell.api.plans import next_runs, plan
    from foretell.api.rankings import rank
    from foretell.api.sharing import export, score, seal, write_report
    from foretell.corpus import Corpus, Texts, build_corpus, open_corpus, read_tokenizer
    from foretell.execute import Job, executor_named
    from foretell.fitting import Fit, Objective, doubts_of, fit, redraw_noise, resample_runs
    from foretell.forecast import Forecast, Forecasts, Method, Settings, Target, reach_of
    from foretell.forecast.seal import Seal, open_seal
    from foretell.judge import Backtest, Comparison, Outcome, Split, binomial_interval, interval_score, splits_of
    from foretell.judge.ablate import Ablation
    from foretell.judge.calibration import Calibration
    from foretell.judge.noise import Noise, noise_of
    from foretell.judge.sealed import Scorecard, Verdict
    from foretell.ladder import (
        NextRun,
        Plan,
        Recipe,
        Request,
        aim_at,
        device_hours,
        device_named,
        make_plan,
        parse_budget,
        shipped_prior,
        write_ladder,
    )  # fmt: skip
    from foretell.ladder.training import Trained
    from foretell.ladder.training import train_ladder as train
    from foretell.laws import LAWS, MORE_LAWS, Coefficient, Law, law_named
    from foretell.laws.multipower import Curve
    from foretell.laws.multipower_fit import MultiPowerFit, fit_multi_power, forecast_annealed
    from foretell.laws.schedule import Schedule
    from foretell.lm.cloze import make_cloze
    from foretell.lm.evaluate import Evaluation, Questions, evaluate_checkpoint, write_evaluations
    from foretell.lm.probe import make_probe, read_probe
    from foretell.lm.requests import read_task
    from foretell.lm.task_checkpoint import load_checkpoint
    from foretell.methods import METHODS, method_named
    from foretell.methods.average_error import average_error, average_forecast, seventeen_tasks
    from foretell.methods.cluster import Cluster
    from foretell.methods.in_progress import Outlook
    from foretell.methods.item_outcomes import ItemOutcomes
    from foretell.methods.leaving import Watch
    from foretell.methods.observational_published import (
        published_from_compute,
        published_from_families,
        published_from_scores,
    )  # fmt: skip
    from foretell.methods.pass_at_k import Attempts, PassLaw, fit_pass_at_k
    from foretell.methods.principal import components_of, fit_imputer, score_table
    from foretell.methods.ranking import Ranking
    from foretell.methods.subset import Subset, best_families
    from foretell.mixing import (
        Best,
        Goal,
        Horizon,
        MixtureModel,
        Optimum,
        Panel,
        Transfer,
        best_mixture,
        carry,
        choose_model,
        design_ladder,
        fit_model,
        horizons_of,
        objective_weights,
        panel_of,
        survival,
    )  # fmt: skip
    from foretell.mixture import Mixture, Pools, Region, sample_mixtures
    from foretell.report import draw_comparison, draw_forecasts
    from foretell.report.ablation_figure import draw_ablation, draw_noise
    from foretell.report.backtest_figures import draw_backtest, draw_coverage
    from foretell.report.calibration_figure import draw_pit
    from foretell.report.fit_figures import draw_ladder, draw_residuals
    from foretell.report.mix_figures import draw_optimum, draw_transfer
    from foretell.report.outlook_figure import draw_outlook
    from foretell.report.rank_figure import draw_ranking
    from foretell.report.trace_figures import draw_trace
    from foretell.rung import Ladder, Rung, Shape, read_ladder
    from foretell.sources import (
        SOURCES,
        ColumnMap,
        Harness,
        MetricMap,
        RunTable,
        fetch_published,
        published_sets,
        read,
        read_every_eval_ever,
        read_gadre,
        read_harness,
        read_levanter,
        read_lightning,
        read_lm_eval,
        read_mlflow,
        read_olmo_core,
        read_olmo_ladder,
        read_published,
        read_records,
        read_table,
        read_tensorboard,
        read_torchtitan,
        read_trainer,
        read_wandb,
        save_harness,
    )  # fmt: skip
    from foretell.sources.shipped import shipped_ladder, shipped_mixtures
    from foretell.table import Metric, Observations, Points, Run, metric_named
    from foretell.table import save_study as save
    from foretell.table.items import Items, open_items, write_items
    from foretell.trajectory import (
        Alignment,
        Categories,
        Emergence,
        RunLosses,
        TokenLosses,
        Trace,
        align,
        breakthroughness,
        classify,
        compare_pooled,
        emergence_point,
        linearity,
        overlap_of,
        trace_tokens,
    )  # fmt: skip
    from foretell.trajectory.study import trace
    from foretell.trajectory.tasks import trace_task
    from foretell.trajectory.validation import with_validation_loss
    from foretell.units import bpb_to_loss, loss_to_bpb

# Where each name lives, as NAME or NAME=NAME-THERE; looked up when first used, so that importing foretell is quick.
_NAMES = {
    "api": "ablate backtest calibration compare fit_metric metrics_of open outlook predict target",
    "api.plans": "next_runs plan",
    "api.rankings": "rank",
    "api.sharing": "export score seal write_report",
    "corpus": "Corpus Texts build_corpus open_corpus read_tokenizer",
    "execute": "Job executor_named",
    "fitting": "Fit Objective doubts_of fit redraw_noise resample_runs",
    "forecast": "Forecast Forecasts Method Settings Target reach_of",
    "forecast.seal": "Seal open_seal",
    "judge": "Backtest Comparison Outcome Split binomial_interval interval_score splits_of",
    "judge.ablate": "Ablation",
    "judge.calibration": "Calibration",
    "judge.noise": "Noise noise_of",
    "judge.sealed": "Scorecard Verdict",
    "ladder": (
        "NextRun Plan Recipe Request aim_at device_hours device_named make_plan parse_budget shipped_prior "
        "write_ladder"
    ),
    "ladder.training": "Trained train=train_ladder",
    "laws": "LAWS MORE_LAWS Coefficient Law law_named",
    "laws.multipower": "Curve",
    "laws.multipower_fit": "MultiPowerFit fit_multi_power forecast_annealed",
    "laws.schedule": "Schedule",
    "lm.cloze": "make_cloze",
    "lm.evaluate": "Evaluation Questions evaluate_checkpoint write_evaluations",
    "lm.probe": "make_probe read_probe",
    "lm.requests": "read_task",
    "lm.task_checkpoint": "load_checkpoint",
    "methods": "METHODS method_named",
    "methods.average_error": "average_error average_forecast seventeen_tasks",
    "methods.cluster": "Cluster",
    "methods.in_progress": "Outlook",
    "methods.item_outcomes": "ItemOutcomes",
    "methods.leaving": "Watch",
    "methods.observational_published": "published_from_compute published_from_families published_from_scores",
    "methods.pass_at_k": "Attempts PassLaw fit_pass_at_k",
    "methods.principal": "components_of fit_imputer score_table",
    "methods.ranking": "Ranking",
    "methods.subset": "Subset best_families",
    "mixing": (
        "Best Goal Horizon MixtureModel Optimum Panel Transfer best_mixture carry choose_model design_ladder "
        "fit_model horizons_of objective_weights panel_of survival"
    ),
    "mixture": "Mixture Pools Region sample_mixtures",
    "report": "draw_comparison draw_forecasts",
    "report.ablation_figure": "draw_ablation draw_noise",
    "report.backtest_figures": "draw_backtest draw_coverage",
    "report.calibration_figure": "draw_pit",
    "report.fit_figures": "draw_ladder draw_residuals",
    "report.mix_figures": "draw_optimum draw_transfer",
    "report.outlook_figure": "draw_outlook",
    "report.rank_figure": "draw_ranking",
    "report.trace_figures": "draw_trace",
    "rung": "Ladder Rung Shape read_ladder",
    "sources": (
        "SOURCES ColumnMap Harness MetricMap RunTable fetch_published published_sets read read_every_eval_ever "
        "read_gadre read_harness read_levanter read_lightning read_lm_eval read_mlflow read_olmo_core read_olmo_ladder "
        "read_published read_records read_table read_tensorboard read_torchtitan read_trainer read_wandb save_harness"
    ),
    "sources.shipped": "shipped_ladder shipped_mixtures",
    "table": "Metric Observations Points Run metric_named save=save_study",
    "table.items": "Items open_items write_items",
    "trajectory": (
        "Alignment Categories Emergence RunLosses TokenLosses Trace align breakthroughness classify "
        "compare_pooled emergence_point linearity overlap_of trace_tokens"
    ),
    "trajectory.study": "trace",
    "trajectory.tasks": "trace_task",
    "trajectory.validation": "with_validation_loss",
    "units": "bpb_to_loss loss_to_bpb",
}  # fmt: skip
_PLACES = {
    name.partition("=")[0]: (place, name.rpartition("=")[2])
    for place, names in _NAMES.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'foretell' has no attribute {name!r}")
    place, called = _PLACES[name]
    return getattr(import_module(f"foretell.{place}"), called)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])


__all__ = [
    "LAWS", "METHODS", "MORE_LAWS", "SOURCES", "Ablation", "Alignment", "Attempts", "Backtest", "Best", "Calibration",
    "Categories", "Cluster", "Coefficient", "ColumnMap", "Comparison", "Corpus", "Curve", "Emergence", "Evaluation",
    "Fit", "Forecast", "Forecasts", "Goal", "Harness", "Horizon", "ItemOutcomes", "Items", "Job", "Ladder", "Law",
    "Method", "Metric", "MetricMap", "Mixture", "MixtureModel", "MultiPowerFit", "NextRun", "Noise", "Objective",
    "Observations", "Optimum", "Outcome", "Outlook", "Panel", "PassLaw", "Plan", "Points", "Pools", "Questions",
    "Ranking", "Recipe", "Region", "Request", "Run", "RunLosses", "RunTable", "Rung", "Schedule", "Scorecard", "Seal",
    "Settings", "Shape", "Split", "Subset", "Target", "Texts", "TokenLosses", "Trace", "Trained", "Transfer", "Verdict",
    "Watch", "__version__", "ablate", "aim_at", "align", "average_error", "average_forecast", "backtest",
    "best_families", "best_mixture", "binomial_interval", "bpb_to_loss", "breakthroughness", "build_corpus",
    "calibration", "carry", "choose_model", "classify", "compare", "compare_pooled", "components_of", "design_ladder",
    "device_hours", "device_named", "doubts_of", "draw_ablation", "draw_backtest", "draw_comparison", "draw_coverage",
    "draw_forecasts", "draw_ladder", "draw_noise", "draw_optimum", "draw_outlook", "draw_pit", "draw_ranking",
    "draw_residuals", "draw_trace", "draw_transfer", "emergence_point", "evaluate_checkpoint", "executor_named",
    "export", "fetch_published", "fit", "fit_imputer", "fit_metric", "fit_model", "fit_multi_power", "fit_pass_at_k",
    "forecast_annealed", "horizons_of", "interval_score", "law_named", "linearity", "load_checkpoint", "loss_to_bpb",
    "make_cloze", "make_plan", "make_probe", "method_named", "metric_named", "metrics_of", "next_runs", "noise_of",
    "objective_weights", "open", "open_corpus", "open_items", "open_seal", "outlook", "overlap_of", "panel_of",
    "parse_budget", "plan", "predict", "published_from_compute", "published_from_families", "published_from_scores",
    "published_sets", "rank", "reach_of", "read", "read_every_eval_ever", "read_gadre", "read_harness", "read_ladder",
    "read_levanter", "read_lightning", "read_lm_eval", "read_mlflow", "read_olmo_core", "read_olmo_ladder",
    "read_probe", "read_published", "read_records", "read_table", "read_task", "read_tensorboard", "read_tokenizer",
    "read_torchtitan", "read_trainer", "read_wandb", "redraw_noise", "resample_runs", "sample_mixtures", "save",
    "save_harness", "score", "score_table", "seal", "seventeen_tasks", "shipped_ladder", "shipped_mixtures",
    "shipped_prior", "splits_of", "survival", "target", "trace", "trace_task", "trace_tokens", "train",
    "with_validation_loss", "write_evaluations", "write_items", "write_ladder", "write_report",
]  # fmt: skip
