"""The service behind the notebooks: real flights, one call in five refused, gone when its caller is."""

from __future__ import annotations

import io
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pandas as pd
import pytest


def test_it_serves_every_flight_of_the_year_once(flights, flights_service):
    """The 36 airport-months together are the 336,776 flights of the data file."""
    texts = flights_service.read_flights()
    months = [pd.read_csv(io.StringIO(text)).assign(origin=key[0], month=key[1]) for key, text in texts.items()]
    columns = ["origin", "month", "day", "carrier", "flight", "dest", "dep_delay", "arr_delay"]
    served = pd.concat(months)[columns].sort_values(columns, ignore_index=True)
    assert len(texts) == 36
    pd.testing.assert_frame_equal(served, flights[columns].sort_values(columns, ignore_index=True))


def test_every_fifth_call_is_refused_whoever_makes_it(flights_service):
    """Failures are part of the service's contract and come at known places, so retries can be counted exactly."""
    with flights_service.FlightsService() as service:
        for path in ["/flights/EWR/1.csv", "/flights/JFK/12.csv"] * 5:
            try:
                assert urlopen(service.url + path).read().startswith(b"day,carrier,flight,dest")
            except HTTPError as error:
                error.close()
        assert [status for _, status in service.calls] == [200, 200, 200, 200, 503] * 2


@pytest.mark.parametrize("path", ["/flights/EWR/13.csv", "/flights/OSL/1.csv", "/", "/flights/EWR/one.csv"])
def test_what_it_does_not_have_is_not_found(flights_service, path):
    """A wrong path is a 404, which no retry turns into data."""
    with flights_service.FlightsService() as service, pytest.raises(HTTPError, match="404") as refused:
        urlopen(service.url + path)
    refused.value.close()


def test_the_process_ends_when_its_caller_is_killed(flights_service):
    """A kernel that dies leaves no server behind: the pipe to it closes."""
    script = (
        "import importlib.util, os, signal, sys\n"
        f"spec = importlib.util.spec_from_file_location('flights_service', {flights_service.__file__!r})\n"
        "service = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(service)\n"
        "print(service.url(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # the service inherits stderr, so reading it to its end waits for the service's end
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    url = done.stdout.strip()
    with pytest.raises(OSError, match="refused"):
        urlopen(url)


def test_a_running_service_is_used_instead(flights_service, monkeypatch):
    """FLIGHTS_URL names a service that somebody else runs."""
    monkeypatch.setenv("FLIGHTS_URL", "http://127.0.0.1:1/")
    assert flights_service.url() == "http://127.0.0.1:1/"
