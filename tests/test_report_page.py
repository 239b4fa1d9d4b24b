"""A report is one page that is safe to open, and its numbers are Python's."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from foretell import api
from foretell.api.sharing import gather
from foretell.forecast import Settings, Target
from foretell.laws import LAWS
from foretell.methods import method_named
from foretell.report.page import SECTIONS, Section, chains_of, render_page
from foretell.report.page.chart import inert
from foretell.report.page.html import tag
from foretell.report.page.program import program_of
from foretell.report.page.whatif import whatif_of
from foretell.table import Metric, Observations, Run
from ladders import ladder, sigmoid_task

SETTINGS = Settings(draws=120, starts=16)
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&=HYPERLINK(1)\u2028{{7*7}}"
FUNCTIONS = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power, "neg": np.negative,
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
}  # fmt: skip


def run_program(program, coefficients, inputs):
    stack = []
    for step in program:
        if isinstance(step, float):
            stack.append(step)
        elif step[0] == ":":
            stack.append(inputs[step[1:]])
        elif re.fullmatch(r"c\d+", step):
            stack.append(coefficients[int(step[1:])])
        elif step in ("neg", "exp", "log", "sqrt"):
            stack.append(FUNCTIONS[step](stack.pop()))
        else:
            right = stack.pop()
            stack.append(FUNCTIONS[step](stack.pop(), right))
    return stack[0]


def evaluate(data, metric, N, D):
    """Do what the page's script does, with the numbers that the page carries."""
    law, link = data["losses"][metric["loss"]], metric["link"]
    inputs = {"N": N, "D": D, "M": D / N, "C": 6 * N * D}
    value = run_program(law["program"], law["theta"], inputs)
    draws = run_program(law["program"], [np.array(column) for column in law["draws"]], inputs)
    noise = np.array(law["noise"])
    draws = draws * np.exp(noise) if law["log"] else draws + noise
    if link:
        value = run_program(link["program"], link["theta"], {"L": value, "chance": link["chance"]})
        columns = [np.array(column) for column in link["draws"]]
        draws = run_program(link["program"], columns, {"L": draws, "chance": link["chance"]}) + 0 * draws
        p, spread = np.clip(draws, 0, 1), np.array(link["spread"])
        sampling = p * (1 - p) / link["items"] if link["items"] else 0 * p
        draws = draws + np.sqrt(np.maximum(spread**2, np.where(spread > 0, sampling, 0))) * np.array(link["normal"])
    if metric["error"]:
        value, draws = 1 - value, 1 - draws
    limits = (0.0, 1.0) if metric["share"] else (0.0 if metric["positive"] else -np.inf, np.inf)
    reach = np.log10(N) + np.log10(D) - np.log10(metric["most"])
    size = max(reach, 0.0) ** metric["power"] * (1.0 if metric["share"] else abs(value))
    draws = np.clip(np.clip(draws, *limits) + np.array(metric["form"]) * size, *limits)
    return float(np.clip(value, *limits)), draws, reach


@pytest.fixture(scope="module")
def study():
    return ladder(0.003, tasks={"easy/acc": sigmoid_task}, held_out=[(7e9, 7e11)])


def gathered(study, **given):
    words = {
        "title": "my-study", "level": 0.8, "method": "ladder", "settings": SETTINGS, "with_backtest": False,
        "command": "foretell report my-study", "options": {}, **given,
    }  # fmt: skip
    return gather(study, words.pop("targets", []), words.pop("metrics", []), **words)


class Reader(HTMLParser):
    """Collect elements, attributes and scripts of a page."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts, self.text = [], [], [], []
        self._script = None
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += [(name, key, value) for key, value in attributes]
        if name == "script":
            self.scripts.append((dict(attributes), []))
            self._script = self.scripts[-1][1]

    def handle_endtag(self, name):
        if name == "script":
            self._script = None

    def handle_data(self, data):
        (self.text if self._script is None else self._script).append(data)


# -- what if --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["easy/acc", "c4/loss"])
@pytest.mark.parametrize("method", ["ladder", "overtrained"])
def test_the_page_carries_what_makes_the_very_forecast_that_predict_makes(study, metric, method):
    target = Target(7e9, 1.4e12)
    made = api.predict(study, [target], [metric], method=method, settings=SETTINGS)[0]
    chains, exact, failures = chains_of(study, [metric], method_named(method), SETTINGS, target.label)
    data = json.loads(json.dumps(whatif_of(chains, [target], exact=exact, level=0.8)))
    value, draws, reach = evaluate(data, data["metrics"][0], target.N, target.D)
    assert exact
    assert not failures
    assert value == pytest.approx(made.value, rel=1e-9)
    assert reach == pytest.approx(made.reach, rel=1e-12)
    np.testing.assert_allclose(np.sort(draws), np.sort(made.draws), rtol=1e-5)
    assert np.quantile(draws, [0.1, 0.9]) == pytest.approx(made.interval(0.8), rel=1e-5)


def test_at_another_target_value_and_interval_are_those_of_predict_there(study):
    first, second = Target(7e9, 1.4e12), Target(2e10, 3e12)
    chains, exact, _ = chains_of(study, ["easy/acc"], method_named("ladder"), SETTINGS, first.label)
    data = whatif_of(chains, [first], exact=exact, level=0.8)
    value, draws, _ = evaluate(data, data["metrics"][0], second.N, second.D)
    made = api.predict(study, [second], ["easy/acc"], settings=SETTINGS)[0]
    assert value == pytest.approx(made.value, rel=1e-6)
    width = np.subtract(*made.interval(0.8)[::-1])
    assert np.subtract(*np.quantile(draws, [0.9, 0.1])) == pytest.approx(
        width, rel=0.2
    )  # other draws of the form's part


def test_an_error_is_carried_as_the_accuracy_it_leaves():
    study = ladder(0.003, tasks={"easy/acc": sigmoid_task})
    values = study.values.with_columns(
        metric=pl.col("metric").replace("easy/acc", "easy/err"),
        value=pl.when(pl.col("metric") == "easy/acc").then(1.0 - pl.col("value")).otherwise(pl.col("value")),
    )
    metrics = {"c4/loss": study.metrics["c4/loss"], "easy/err": Metric(name="easy/err", unit="error", items=1000)}
    study = replace(study, values=values.sort("run", "D", "metric"), metrics=metrics)
    target = Target(7e9, 1.4e12)
    chains, exact, _ = chains_of(study, ["easy/err"], method_named("ladder"), SETTINGS, target.label)
    data = whatif_of(chains, [target], exact=exact, level=0.8)
    value, draws, _ = evaluate(data, data["metrics"][0], target.N, target.D)
    made = api.predict(study, [target], ["easy/err"], settings=SETTINGS)[0]
    assert value == pytest.approx(made.value, rel=1e-9)
    np.testing.assert_allclose(np.sort(draws), np.sort(made.draws), rtol=1e-5)


def test_of_a_method_that_is_no_chain_the_panel_shows_the_ladder_and_says_so(study):
    page = render_page(gathered(study, method="auto"))
    assert "The laws are those of the method ladder" in page


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_law_of_the_catalogue_is_carried_exactly(name):
    law = LAWS[name]
    rng = np.random.default_rng(1)
    coefficients = {}
    for key in law.coefficients:
        low, high = law.coefficient(key).start or (0.1, 0.5)
        coefficients[key] = float(rng.uniform(low, high))
    inputs = {key: float(rng.uniform(0.5, 2.0)) for key in law.variables}
    expected = float(np.ravel(law.value(coefficients, {key: np.array([value]) for key, value in inputs.items()}))[0])
    with np.errstate(all="ignore"):
        found = run_program(program_of(law), [np.float64(coefficients[key]) for key in law.coefficients], inputs)
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_draws_are_cut_where_all_together_would_be_large(study, monkeypatch):
    monkeypatch.setattr("foretell.report.page.whatif.MOST_NUMBERS", 1)
    monkeypatch.setattr("foretell.report.page.whatif.FEWEST_DRAWS", 30)
    chains, exact, _ = chains_of(study, ["easy/acc"], method_named("ladder"), SETTINGS, "x")
    data = whatif_of(chains, [Target(7e9, 7e11)], exact=exact, level=0.8)
    assert data["draws"] == 30
    assert {len(column) for column in data["metrics"][0]["link"]["draws"]} == {30}


# -- the page -------------------------------------------------------------------------------------------------------


def test_a_page_answers_with_the_forecast_and_what_was_measured(study):
    contents = gathered(study, with_backtest=True)
    page = render_page(contents)
    text = " ".join(Reader(page).text)
    forecast = contents.forecasts[0]
    assert f"{100 * forecast.value:.1f}" in text
    assert f"measured {100 * contents.measured(forecast):.1f}" in text
    assert "What will run 16 score?" in text
    for heading in ("What if", "Forecasts beside measurements", "What speaks against it", "The runs it rests on",
                    "The fitted laws", "Would it have worked?", "How this was made"):  # fmt: skip
        assert heading in text


def test_a_page_asks_nothing_of_any_network(study):
    reader = Reader(render_page(gathered(study)))
    reaching = [
        (name, key, value) for name, key, value in reader.attributes if key in ("src", "href", "action", "data")
    ]
    assert all(value.startswith(("#", "data:")) for _, _, value in reaching)
    assert "link" not in reader.tags or ("link", "href", "data:,") in reader.attributes
    policy = next(value for _, key, value in reader.attributes if key == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy


def test_names_that_look_like_markup_stay_text_in_every_field():
    study = ladder(0.003, tasks={f"{NASTY}/acc": sigmoid_task})
    rows = study.runs.with_row_index("i").to_dicts()
    renamed = {row["name"]: f"{row['i']:02d} {NASTY}" for row in rows}
    runs = [
        Run(renamed[row["name"]], row["D"], N=row["N"], family=NASTY, held_out=i == len(rows) - 1, weights={NASTY: 1.0})
        for i, row in enumerate(rows)
    ]
    values = study.values.with_columns(pl.col("run").replace(renamed))
    study = Observations.of(runs, values, study.metrics.values(), shared_loss="c4/loss")
    plain = Reader(render_page(gathered(ladder(0.003, tasks={"easy/acc": sigmoid_task}), targets=[Target(7e9, 7e11)])))
    page = render_page(
        gathered(study, targets=[Target(7e9, 7e11, name=NASTY)], title=NASTY, command=NASTY, with_backtest=True)
    )
    reader = Reader(page)
    assert "img" not in reader.tags
    assert not [key for _, key, _ in reader.attributes if key.startswith("on")]
    assert [kind.get("type") for kind, _ in reader.scripts].count(None) == 1
    assert [kind for kind, _ in reader.scripts if not kind] == [kind for kind, _ in plain.scripts if not kind]
    for kind, parts in reader.scripts:
        if kind:
            json.loads("".join(parts))
    assert NASTY.replace("\u2028", "\u2028") in "".join(reader.text)


def test_json_in_a_page_cannot_end_its_script_or_begin_a_comment():
    written = inert({NASTY: ["<!--", "]]>", "&amp;", "\u2029"]})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {NASTY: ["<!--", "]]>", "&amp;", "\u2029"]}


def test_text_and_attributes_of_an_element_are_escaped():
    made = tag("p", NASTY, title=NASTY).text
    assert made.count("<") == 2
    assert Reader(made).attributes == [("p", "title", NASTY)]


def test_a_section_can_be_added_and_one_without_anything_to_show_is_left_out(study):
    def mine(contents):
        return Section("mine", "My own", tag("p", f"{len(contents.forecasts)} forecasts"), "Mine")

    page = render_page(gathered(study), [*SECTIONS, mine, lambda contents: None])
    assert "My own" in page
    assert 'href="#mine"' in page
    assert 'id="mixtures"' not in page


def test_the_same_study_makes_the_same_page_but_for_its_time(study):
    pages = [render_page(replace(gathered(study), made="")) for _ in range(2)]
    assert pages[0] == pages[1]
