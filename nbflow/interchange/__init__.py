"""Histories to files and back: as Temporal's JSON, and as nbflow's own. Mappings only; no clock, no network."""

from __future__ import annotations
