"""The table reader takes every file of the testbeds as it is."""

import pytest

from foretell.sources import ColumnMap, read
from foretell.sources.datafile import read_frame
from foretell.sources.table import tabulate
from protocols import testbeds


def same(a, b):
    return a.runs.equals(b.runs) and a.values.equals(b.values) and a.metrics == b.metrics


# -- every testbed --------------------------------------------------------------------------------------------------

MIXINGLAWS = {
    "run": "run",
    "N": "nonemb_params",
    "D": "tokens",
    "step": "step",
    "weights": "w_*",
    "metric": "*/loss=loss_*",
}
# Where a file states no N or D, a constant stands in: the reader needs one, and no figure is computed from it.
MAPPINGS = {
    "chinchilla/svg_extracted_data.csv": (
        {"N": "Model Size", "D": "Training FLOP/(6*Model Size)", "C": "Training FLOP", "metric": "c4/loss=loss"}, 245),
    "datablations/runs_final_loss.csv": (
        {"run": "run", "N": "N", "D": "D", "U": "U", "attribute": {"epochs": "epochs", "seed": "seed"}, "metric": "c4/loss=val_loss"},
        182),
    "misfitting/final_runs.csv": (
        {"run": ["model", "total_steps", "peak_lr", "sweep"], "N": "N_no_emb", "N_total": "N", "D": "D",
         "C": "C_6ND_no_emb", "attribute": {"lr": "peak_lr"}, "metric": "c4/loss=loss", "replicates": True}, None),
    "misfitting/checkpoints.csv": (
        {"run": "run", "N": "N_no_emb", "N_total": "N", "D": "D", "step": "current_steps", "metric": "c4/loss=loss",
         "replicates": True}, None),
    "porian/isoflop_points.csv": (
        {"run": ["hparams", "warmup", "decay", "param_count", "val", "flops", "N"], "family": "dataset", "N": "N", "D": "D",
         "C": "flops", "metric": "loss"}, 1164),
    "gemstones/checkpoints.csv": (
        {"run": "model", "N_total": "N", "D": "tokens", "C": "flops_6ND", "step": "step",
         "attribute": {"width": "width", "depth": "depth"},
         "metric": ["*/loss=loss_*", "*/loss=tl_*", "*/acc=acc_*", "train_loss"]}, 22),
    "steplaw/dense_lr_bs_loss.csv": (
        {"run": "exp_name", "N": "N", "D": "D", "attribute": {"lr": "lr", "bs": "bs", "ratio": "D/N"},
         "metric": ["loss", "smooth/loss=smooth loss"]}, 1746),
    "multipower/loss_curves.csv": (
        {"run": ["N", "schedule"], "N": "N", "D": "step*524288", "step": "step", "attribute": {"lr": "lr"}, "metric": "loss"}, 12),
    "pythia/checkpoints_wide.csv": (
        {"run": ["family", "size", "variant", "folder_shots"], "N": "N_nonemb", "N_total": "N_total", "D": "D", "step": "step",
         "where": "D > 0", "metric": ["*/acc=*|acc", "*/acc_norm=*|acc_norm", "wikitext/bpb=wikitext|bits_per_byte",
                                      "lambada/loss=log(lambada_openai|ppl)"]}, None),
    "marin/isoflop_runs.csv": (
        {"run": "run", "family": "data", "N": "N", "D": "D", "C": "flops", "attribute": {"lr": "lr"}, "metric": "paloma_macro_loss"},
        110),
    "obsscaling/base_llm_benchmark_eval.csv": (
        {"run": "Model", "family": "Model Family", "N_total": "Model Size (B)*1e9", "D": "Pretraining Data Size (T)*1e12",
         "C": "FLOPs (1E21)*1e21", "metric": ["MMLU", "ARC-C", "HellaSwag"], "unit": {"*": "accuracy"}}, 97),
    "obsscaling/base_llm_emergent_capability_eval.csv": (
        {"run": "Model", "join": "obsscaling/base_llm_benchmark_eval.csv", "on": "Model", "N_total": "Model Size (B)*1e9",
         "D": "Pretraining Data Size (T)*1e12", "metric": ["*/acc=*_2_acc", "*/em=*_2_exact_match", "ipa/bleu=*_bleu"]}, 61),
    "scalebench/farseer.csv": ({"family": "group", "N": "N", "D": "D", "metric": "loss"}, 404),
    "scalebench/moe.csv": (
        {"N": "dense_parameter_count", "D": "1e9", "attribute": {"experts": "num_experts"}, "metric": "loss=loss_validation"}, 193),
    "mixtures/regmix_1m.csv": (
        {"run": ["split", "index"], "N_total": "1e6", "D": "tokens", "weights": "w_*", "metric": "loss=loss_*"}, 768),
    "mixtures/dmsl_122M_310M_40mix.csv": (
        {"run": ["mix_id", "model_size"], "N": "model_size", "D": "n_tokens", "weights": "w_*", "metric": "*/loss=loss_*",
         "where": "NOT is_dup_of_final"}, 80),
    "mixtures/mixinglaws_2mix.csv": (MIXINGLAWS, 10),
    "mixtures/mixinglaws_3mix_70M_160M.csv": (MIXINGLAWS, 9),
    "mixtures/mixinglaws_5mix_small.csv": (MIXINGLAWS, 52),
    "mixtures/mixinglaws_redpajama_small.csv": (MIXINGLAWS, 63),
    "mixtures/bimix_slimpajama.csv": (
        {"run": "mixture", "N": "1e9", "D": "step*1e6", "step": "step", "weights": "w_*", "metric": "*/loss=ppl_*"}, 6),
    "mixtures/repmix_wikipedia_30M_124M_all_horizons.csv": (
        {"run": ["model", "design", "horizon_idx", "w_hq"], "N_total": "params_m*1e6", "D": "horizon_tokens", "weights": "w_*",
         "attribute": {"U_hq": "hq_pool_tokens", "lr": "lr"}, "metric": "hq/loss=val_loss_hq"}, 102),
}  # fmt: skip


def mapped(name):
    mapping = dict(MAPPINGS[name][0])
    if "join" in mapping:
        mapping["join"] = str(testbeds() / mapping["join"])
    return mapping


def test_every_testbed_file_has_a_mapping_or_a_native_reader():
    files = {str(file.relative_to(testbeds())) for file in testbeds().rglob("*.csv")}
    assert {file for file in files if not file.startswith(("gadre/", "olmo-ladder/"))} == set(MAPPINGS)


@pytest.mark.parametrize("name", MAPPINGS)
def test_every_testbed_file_is_read_without_editing_it(name):
    study = read("table", testbeds() / name, **mapped(name))
    runs = MAPPINGS[name][1]
    assert runs is None or len(study.runs) == runs
    for metric in study.metrics:
        assert len(study.metric(metric))


@pytest.mark.parametrize("name", [name for name, (mapping, _) in MAPPINGS.items() if "run" in mapping])
def test_shuffled_rows_of_a_testbed_give_the_same_study(name):
    mapping = mapped(name)
    mapping.pop("join", None)
    frame = read_frame(testbeds() / name)
    if mapping.pop("on", None):
        frame = frame.join(read_frame(testbeds() / MAPPINGS[name][0]["join"]), on="Model", how="left")
    columns = ColumnMap.of(**mapping)
    assert same(tabulate(frame, columns), tabulate(frame.sample(fraction=1.0, shuffle=True, seed=1), columns))
