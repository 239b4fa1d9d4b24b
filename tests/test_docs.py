"""What README and docs say can be done is done: examples, snippets, commands, links, names, and the output shown."""

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

import foretell
from foretell.cli.app import app
from foretell.laws import LAWS
from foretell.methods import AS_PUBLISHED, DEFAULT, METHODS
from foretell.sources import SOURCES, ColumnMap, published_sets
from protocols import testbeds

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCK = re.compile(r"^```(\w+)[ \t]*(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.-])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
CLOSE = 0.05  # relative: the last digits shown may differ by machine
OPTION = re.compile(r"(?<![\w-])--[a-zA-Z][\w-]*")
SAID_BY = {  # what an example must say
    "forecast_from_csv.py": ["hard/acc of 7B on 1T", "1.5 decades beyond the data", "truth 0.743", "doubt:"],
    "your_own_law.py": ["mine: coefficients A, B, E, alpha, s; inputs D, N", "chinchilla-tied: mean", "alpha ="],
    "backtest_a_method.py": ["80 % covers", "chinchilla", "power-C", "interval score: less is better"],
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page):
    """Give kind, file name and text of each fenced block, in order."""
    return [match.groups() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(kind, text):
    """Give each `foretell …` line of a block with the output shown below it."""
    joined = text.replace("\\\n", " ")
    if kind == "sh":
        return [(line.split("  #")[0], []) for line in joined.splitlines() if line.startswith("foretell ")]
    parts = re.split(r"^\$ (.*)$", joined, flags=re.MULTILINE)[1:]
    return [(line, shown.strip("\n").splitlines()) for line, shown in zip(parts[::2], parts[1::2], strict=True)]


def run(line):
    if line.startswith("foretell serve "):
        return served(line)
    done = CliRunner().invoke(app, shlex.split(os.path.expandvars(line))[1:])
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    return done.stdout


def served(line):
    """Run a server as a reader would: wait for its address, open the page, end it with Ctrl-C."""
    words = [sys.executable, "-u", "-m", "foretell", *shlex.split(line)[1:]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            said = server.stdout.readline()
            address = re.search(r"http://\S+", said)
            assert address, said + server.stdout.read()
            with urllib.request.urlopen(address[0], timeout=60) as answer:
                assert "<h1" in answer.read().decode()
        finally:
            server.send_signal(signal.SIGINT)
            said += server.communicate(timeout=30)[0]
    assert "Traceback" not in said
    return said


def skeleton(line):
    """Give a line without its numbers, spaces and rules, and its numbers."""
    return re.sub(r"[\s━┏┳┓┡╇┩└┴┘─│┃]+", "", NUMBER.sub("#", line)), [float(n) for n in NUMBER.findall(line)]


def same(shown, printed):
    (words, numbers), (others, found) = skeleton(shown), skeleton(printed)
    return words == others and all(
        abs(a - b) <= CLOSE * max(abs(a), abs(b)) for a, b in zip(numbers, found, strict=True)
    )


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETELL_TESTBEDS", str(testbeds()))
    for folder in ("examples", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


@pages
def test_what_a_page_tells_to_run_runs(page, workplace):
    names = {"__name__": page.stem}
    for kind, file, text in blocks(page):
        if file:
            (workplace / file).write_text(text, encoding="utf-8")
        elif kind == "python":
            names["__name__"] = "__main__"
            module = type(sys)("__main__")  # dataclasses look their module up
            module.__dict__.update(names)
            kept, sys.modules["__main__"] = sys.modules["__main__"], module
            try:
                exec(compile(text, str(page), "exec"), module.__dict__)
            finally:
                sys.modules["__main__"] = kept
            names = module.__dict__
        elif kind in ("sh", "console"):
            for line, shown in commands(kind, text):
                printed = run(line).splitlines()
                for expected in (line for line in shown if skeleton(line)[0] not in ("", "…")):
                    assert any(same(expected, one) for one in printed), f"{line}\nno longer prints: {expected}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_and_says_what_it_should(example):
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for said in SAID_BY[example.name]:
        assert said in done.stdout


def test_the_runs_that_ship_are_those_that_the_example_makes(tmp_path):
    made = tmp_path / "runs.csv"
    subprocess.run([sys.executable, str(ROOT / "examples" / "forecast_from_csv.py"), str(made)], check=True)
    shipped = (ROOT / "examples" / "runs.csv").read_text().splitlines()
    for line, other in zip(made.read_text().splitlines(), shipped, strict=True):
        for cell, kept in zip(line.split(",")[1:], other.split(",")[1:], strict=True):
            assert cell == kept or float(cell) == pytest.approx(float(kept), abs=2e-4)


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert not target.startswith("http"), f"{page.name} links to {target}: name the paper or repository instead"
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.name != "index.md" and f"({page.name})" not in index] == []


def options():
    """Give every option of every verb, from the application itself."""
    found = {"--help"}

    def walk(command):
        for parameter in command.params:
            found.update(parameter.opts)
            found.update(parameter.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            walk(inner)

    command = typer.main.get_command(app)
    assert isinstance(command, click.Command) or hasattr(command, "commands")
    walk(command)
    return found


@pages
def test_every_option_named_is_one(page):
    assert set(OPTION.findall(page.read_text(encoding="utf-8"))) - options() == set()


def verbs(command=None, above=()):
    """Give the words of every verb, and of every verb below one: `("read", "wandb")`."""
    command = command or typer.main.get_command(app)
    below = getattr(command, "commands", {})
    return {found for name, one in below.items() for found in verbs(one, (*above, name))} or {above}


def test_every_verb_has_an_example_that_runs():
    shown = set()
    for page in PAGES:
        for kind, file, text in blocks(page):
            if kind in ("sh", "console") and not file:
                shown |= {tuple(line.split()[1:3]) for line, _ in commands(kind, text)}
    assert ("read", "mlflow") in verbs()
    assert [" ".join(verb) for verb in sorted(verbs()) if not any(said[: len(verb)] == verb for said in shown)] == []


def test_every_verb_named_is_one():
    verbs = set(typer.main.get_command(app).commands)
    named = {verb for page in PAGES for verb in re.findall(r"foretell ([a-z]+)\b", page.read_text(encoding="utf-8"))}
    assert {"predict", "read", "backtest", "fit", "laws", "demo"} <= named & verbs


def rows(page, heading):
    """Give the names in the first column of the table below a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split(heading, 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    return [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in table[0].splitlines()[2:]]


def first(page, heading):
    return {names[0] for names in rows(page, heading)}


def test_the_catalogue_of_the_page_is_that_of_the_program():
    told = first("laws.md", "## Laws of a loss") | first("laws.md", "## Laws of a share")
    assert told == set(LAWS)
    text = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
    assert [law.name for law in LAWS.values() if f"| `{law.formula}` |" not in text] == []


def test_the_methods_of_the_page_are_in_the_program():
    told = first("methods.md", "# What do")
    assert DEFAULT in told
    assert told == set(METHODS)
    assert first("methods.md", "## `--as-published`") <= set(AS_PUBLISHED)


def test_every_entry_of_a_column_map_is_told():
    told = {option for names in rows("reading.md", "## Any table") for option in names}
    named = {re.split(r"[ =]", option)[0].removeprefix("--").replace("-", "_") for option in told}
    entries = {"rows" if name in ("final", "all_rows") else name for name in named}
    assert set(ColumnMap.model_fields) <= entries
    assert {"gadre", "olmo-ladder", "table"} <= set(SOURCES)


def test_the_published_sets_of_the_page_are_those_that_are_pinned():
    assert first("reading.md", "## Published sets by name") == set(published_sets())


def test_every_doubt_of_the_page_is_in_the_program():
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
    spoken = re.sub(r"\{[^{}]*\}", "…", source)  # f-strings without their values
    for heading in ("## About a fit", "## About a target", "## About the law", "## About `--as-published`"):
        for names in rows("doubts.md", heading):
            for begins in names:
                assert begins in spoken or begins in source, begins


def test_every_name_of_the_package_that_a_page_uses_is_there():
    for page in PAGES:
        for name in re.findall(r"\bft\.(\w+)", page.read_text(encoding="utf-8")):
            assert hasattr(foretell, name), f"{page.name}: ft.{name}"


def test_every_script_named_is_there():
    for page in PAGES:
        for name in re.findall(r"\b((?:benchmarks|examples|tests)/\w+\.\w+)", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
