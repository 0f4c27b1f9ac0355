"""One phase of one run, in a process of its own: plays it and hands the figures to the parent over a pipe.

It then waits to be killed, so that a crash is what ends every run.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any


def play(order: dict[str, Any]) -> dict[str, Any]:
    """Import the engine's library (timed), then its adapter, and run one function of it."""
    before = time.perf_counter()
    importlib.import_module(order["library"])
    import_s = time.perf_counter() - before
    from benchmarks.measure import Run

    adapter = importlib.import_module(f"benchmarks.engines.{order['module']}")
    function = getattr(adapter, order["function"], None)
    if function is None:
        return {"unavailable": True}
    run = Run(Path(order["folder"]), order["params"], order["variant"], order["spawned"])
    figures = function(run)
    total = run.since_spawn()
    if order["function"] == "w7":
        figures = {"first_result_s": total, "import_s": import_s}
    elif order["function"] == "w4_recover":
        figures = {"recover_s": total, **(figures or {})}
    elif order["function"] == "w5_recover":
        figures = {"seconds": total, "wf_s": order["params"]["n"] / total, **(figures or {})}
    return {"figures": {**(figures or {}), f"{order['function']}_cpu_s": time.process_time()}}


def end_with_parent() -> None:
    """Kill this run and its servers when the parent is gone: its end of our stdin closes with it."""
    os.read(0, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.argv[1])
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        answer = play(order)
    except BaseException:  # noqa: BLE001  the parent prints it
        answer = {"error": traceback.format_exc()}
    with os.fdopen(order["pipe"], "w") as pipe:
        pipe.write(json.dumps(answer) + "\n")
    signal.pause()


if __name__ == "__main__":
    main()
