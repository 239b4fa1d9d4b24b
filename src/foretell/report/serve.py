"""A server that shows one page on this machine's own loopback address, and nothing else to anybody."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from foretell.errors import ForetellError
from foretell.table.study import RUNS, TITLE, VALUES

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
PATIENCE = 20.0  # seconds a connection may stay silent

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


@dataclass
class Shown:
    """Keep the page of the newest version: `version` says which that is, `build` makes its page."""

    version: Callable[[], str]
    build: Callable[[str], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[str, str] | None = None

    def page(self) -> str:
        """Give the newest page, made once however many ask; where it cannot be made, one that says why."""
        with self._lock:
            version = self.version()
            if self._known is None or self._known[0] != version:
                try:
                    self._known = version, self.build(version)
                except ForetellError as error:
                    return _apology(f"{type(error).__name__}: {error}")
            return self._known[1]


def study_version(study: Path) -> str:
    """Say which state a study folder is in: it changes whenever one of its files is replaced."""
    parts = []
    for name in (TITLE, RUNS, VALUES):
        try:
            stat = (study / name).stat()
            parts.append(f"{stat.st_mtime_ns:x}.{stat.st_ino:x}.{stat.st_size:x}")
        except OSError:
            parts.append("none")
    return "-".join(parts)


def serve_page(shown: Shown, port: int, *, host: str = HOST) -> ThreadingHTTPServer:
    """Bind a server to the loopback address; call `serve_forever` on it. Port 0 takes any that is free.

    Raises ForetellError for another host than 127.0.0.1, and for a port that is taken.
    """
    if host not in NAMES:
        raise ForetellError(f"host {host!r} is not this machine's loopback; reports are shown on {HOST} only")
    if not 0 <= port <= 65535:
        raise ForetellError(f"port {port} does not exist; give one of 0 to 65535")

    class Answer(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            if not self._is_ours():
                self._send(403, "text/plain", "this address is not served here\n", body=body)
            elif self.path == "/":
                self._send(200, "text/html", shown.page(), body=body)
            elif self.path == "/version":
                self._send(200, "application/json", json.dumps({"version": shown.version()}), body=body)
            else:
                self._send(404, "text/plain", "there is one page here, at /\n", body=body)

        def _is_ours(self) -> bool:
            """Refuse requests that another site's page sends under a name of its own (DNS rebinding)."""
            return self.headers.get("Host", "") in {f"{name}:{server.server_port}" for name in NAMES}

        def _send(self, status: int, kind: str, text: str, *, body: bool) -> None:
            data = text.encode()
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: only the command line prints."""

    try:
        server = ThreadingHTTPServer((HOST, port), Answer)
    except OSError as error:
        raise ForetellError(
            f"port {port} cannot be used: {error.strerror or error}; choose another with --port"
        ) from None
    server.daemon_threads = True
    return server


def _apology(message: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:65ch;margin:3rem auto;"
        "padding:0 1rem;overflow-wrap:anywhere}</style>"
        f"<title>no report yet</title></head><body><h1>No report yet</h1><p>{escape(message)}</p>"
        "<p>This page looks again every three seconds.</p></body></html>"
    )
