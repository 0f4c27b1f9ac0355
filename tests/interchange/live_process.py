"""A process that records histories on a real server, so that temporalio's native threads end with it.

Standard output: JSON, the histories of Temporal's own SDK and those of nbflow's interpreter behind its Core.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

HOSTED = [("t_retries", 3), ("t_crowd", 5), ("t_cancelled",), ("t_failing",), ("t_updated",)]


def main() -> None:
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here), str(here.parent / "replay")]
    import temporal_programs as programs
    from replay_player import definition_of
    from temporal_twins import TWINS
    from temporalio.worker import Worker

    from nbflow.store.codec import Codec
    from nbflow.temporal.host import NbflowRunner, NbflowWorkflow

    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    runner = NbflowRunner(Codec(), lambda name, _: definition_of(TWINS[name]))

    async def all_of_it(address: str) -> dict[str, dict]:
        client = await programs.connected(address)
        by_sdk = await programs.record(client)
        runners = {"workflow_runner": runner, "unsandboxed_workflow_runner": runner}
        known = {"workflows": [NbflowWorkflow], "activities": programs.ACTIVITIES}
        async with Worker(client, task_queue="nbflow", **known, **runners):
            by_nbflow = {name: await _hosted(client, name, *given) for name, *given in HOSTED}
        return {"by_sdk": by_sdk, "by_nbflow": by_nbflow}

    with programs.server() as address:
        found = asyncio.run(all_of_it(address))
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


async def _hosted(client: Any, name: str, *args) -> dict:
    """Run a twin on the server, drive it as its program is driven, and return its history."""
    handle = await client.start_workflow(name, args=list(args), id=f"nbflow-{name}", task_queue="nbflow")
    if name == "t_crowd":
        for x in (1, 2, 3):
            await handle.signal("hear", x)
    elif name == "t_cancelled":
        await asyncio.sleep(0.3)
        await handle.cancel()
    elif name == "t_updated":
        await asyncio.sleep(0.3)
        assert await handle.execute_update("put", 1) == 1
        assert await handle.execute_update("put", 5) == 2
    try:
        await asyncio.wait_for(handle.result(), 20)
    except TimeoutError:
        raise
    except Exception:
        assert name in ("t_cancelled", "t_failing")
    return json.loads((await handle.fetch_history()).to_json())


if __name__ == "__main__":
    main()
