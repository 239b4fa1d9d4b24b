"""An MLflow tracking server, read through its REST interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from foretell.errors import SourceError
from foretell.sources.guard import MOST_DOCUMENT, label, mapping, number, parse_json

SECONDS = 60.0  # for one answer
PAGE = 25_000  # points of a metric; the most that the server gives at once
MOST_PAGES = 10_000  # of one list: a server that never ends is broken


@dataclass(frozen=True)
class LoggedRun:
    """Hold one run of MLflow: id, name, experiment, parameters, and a way to its points (step, key, value)."""

    id: str
    name: str
    experiment: str
    params: list[tuple[str, Any]]
    points: Callable[[], Iterable[tuple[float, str, object]]]


def server_runs(address: str, wanted: Callable[[str], bool] = lambda key: True) -> Iterator[LoggedRun]:
    """Give every active run of a server, its wanted metrics fetched when asked for.

    Raises SourceError when the server does not answer, refuses, or answers what is not MLflow's.
    """
    base = address.rstrip("/") + "/api/2.0/mlflow/"
    experiments = {
        str(entry.get("experiment_id")): label(entry.get("name", ""))
        for entry in _pages(base + "experiments/search", {"max_results": 1000}, "experiments")
    }
    if not experiments:
        return
    query = {"experiment_ids": sorted(experiments), "max_results": 1000, "order_by": ["attributes.start_time ASC"]}
    for entry in _pages(base + "runs/search", query, "runs"):
        info, data = mapping(entry.get("info")), mapping(entry.get("data"))
        run_id = str(info.get("run_id", ""))
        keys = [key for key in (metric.get("key") for metric in _listed(data, "metrics")) if isinstance(key, str)]

        def points(run_id: str = run_id, keys: list[str] = keys) -> Iterator[tuple[float, str, object]]:
            for key in filter(wanted, keys):
                asked = {"run_id": run_id, "metric_key": key, "max_results": PAGE}
                for point in _pages(base + "metrics/get-history", asked, "metrics", get=True):
                    yield number(point.get("step", 0)) or 0.0, key, point.get("value")

        yield LoggedRun(
            run_id,
            str(info.get("run_name", "")),
            experiments.get(str(info.get("experiment_id")), ""),
            [(str(param.get("key")), param.get("value")) for param in _listed(data, "params")],
            points,
        )


def _pages(url: str, asked: dict[str, Any], name: str, *, get: bool = False) -> Iterator[dict[str, Any]]:
    token = ""
    for _ in range(MOST_PAGES):
        answer = _answer(url, {**asked, **({"page_token": token} if token else {})}, get=get)
        yield from _listed(answer, name)
        following = answer.get("next_page_token")
        if not isinstance(following, str) or not following:
            return
        token = following
    raise SourceError(f"{url} gives over {MOST_PAGES:,} pages; the server may be broken")


def _answer(url: str, asked: dict[str, Any], *, get: bool) -> dict[str, Any]:
    import urllib.error  # with their TLS they take a tenth of a second, which only this reader should pay
    import urllib.parse
    import urllib.request

    request = (
        urllib.request.Request(f"{url}?{urllib.parse.urlencode(asked)}")
        if get
        else urllib.request.Request(url, json.dumps(asked).encode(), {"Content-Type": "application/json"})
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            content = reply.read(MOST_DOCUMENT + 1)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode("utf-8", "replace")
        raise SourceError(f"{url} refuses with {error.code}: {label(said)[:200]}") from None
    except (OSError, ValueError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(f"{url} does not answer: {reason}; is the tracking server running there?") from None
    except Exception as error:  # http.client raises its own kind for replies that are no HTTP
        raise SourceError(f"{url} answers what is no HTTP: {type(error).__name__}") from None
    if len(content) > MOST_DOCUMENT:
        raise SourceError(f"{url} answers over {MOST_DOCUMENT >> 20} MiB at once; read the store's file instead")
    answer = parse_json(content, f"the answer of {url}")
    if not isinstance(answer, dict):
        raise SourceError(f"{url} answers no object; is it a tracking server of MLflow?")
    return answer


def _listed(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = answer.get(name, [])
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
