"""Everything a notebook needs is in `foretell`, typed, documented, and found only when it is asked for."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import foretell

ROOT = Path(__file__).parents[1]
NAMES = sorted(set(foretell.__all__) - {"__version__"})
VERBS = {  # what the command line does, by the name that Python has for it
    "predict", "outlook", "backtest", "compare", "ablate", "rank", "trace", "seal", "score", "export", "plan", "train",
    "read",
}  # fmt: skip


def test_what_a_type_checker_sees_is_what_is_found():
    tree = ast.parse(Path(foretell.__file__).read_text(encoding="utf-8"))
    seen = {
        (alias.asname or alias.name): (node.module, alias.name)
        for block in tree.body if isinstance(block, ast.If)
        for node in block.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    assert seen == {name: (f"foretell.{place}", there) for name, (place, there) in foretell._PLACES.items()}
    assert sorted(seen) == NAMES
    assert set(foretell.__all__) <= set(dir(foretell))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_is(name):
    found = getattr(foretell, name)
    if inspect.isfunction(found) or inspect.isclass(found):
        assert inspect.getdoc(found), f"{name} has no docstring"
    if inspect.isfunction(found):
        bare = [p.name for p in inspect.signature(found).parameters.values() if p.annotation is inspect.Parameter.empty]
        assert not bare, f"{name} does not say the type of {bare}"


def test_every_verb_of_the_command_line_is_a_function():
    assert set(NAMES) >= VERBS


def test_no_name_hides_a_folder():
    assert not {path.stem for path in Path(foretell.__file__).parent.iterdir()} & set(NAMES)


def test_the_reference_documents_every_name_once():
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "api").glob("*.md")))
    told = re.findall(r"^::: foretell\.(\S+)$", pages, re.MULTILINE)
    assert sorted(set(NAMES) - set(told) - {"fit", "save"}) == []
    assert {"fitting.fit.fit", "save"} <= set(told)  # `fit` is also the file that holds it
    assert len(told) == len(set(told))


def test_importing_it_imports_no_other_part_of_it():
    code = (
        "import sys, foretell; dir(foretell); "
        "print([m for m in sys.modules if m.startswith('foretell.') or m in ('numpy', 'polars', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['foretell.version']"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'forecats'"):
        foretell.forecats  # noqa: B018


def test_what_the_linter_checks_calls_every_verb():
    typed = (ROOT / "tests" / "typed" / "notebook.py").read_text(encoding="utf-8")
    assert '"tests/typed"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {verb for verb in VERBS if f"ft.{verb}(" not in typed} == set()
