"""nbflow's workflow functions on Temporal: the extra ``nbflow[temporal]``.

The functions are not translated to Temporal's Python API. Temporal's Core (the state machines that every SDK is
built on) hands activations to nbflow's own interpreter and takes its commands; so order, cancellation, random
numbers and the look of every error are the same as on the embedded engine.
"""

from __future__ import annotations
