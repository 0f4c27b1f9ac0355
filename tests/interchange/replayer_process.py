"""A process that puts histories through temporalio's Replayer, so that its native threads end with it.

Standard input: a JSON list of histories. Standard output: for each why it was refused, or null, and the last command.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def replayed(histories: list[dict], timeout: float = 120) -> list[dict]:
    """Replay histories of the corpus in a process of its own."""
    command, given = [sys.executable, __file__], json.dumps(histories)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    sys.path.insert(0, str(HERE.parent / "replay"))
    from replay_corpus import CORPUS
    from replay_player import definition_of

    from nbflow.core.payloads import JsonConverter
    from nbflow.temporal.replaying import replay_histories

    definitions = {body.name: definition_of(body.function) for body in CORPUS}
    histories = json.load(sys.stdin)
    last = {}
    found = asyncio.run(
        replay_histories(
            histories,
            JsonConverter(),
            lambda name, _: definitions[name],
            last.__setitem__,
        )
    )
    answers = []
    for history, error in zip(histories, found, strict=True):
        run_id = history["events"][0]["workflowExecutionStartedEventAttributes"]["originalExecutionRunId"]
        command = last.get(run_id)
        result = getattr(command, "result", None)
        answers.append(
            {
                "error": None if error is None else str(error),
                "command": command and type(command).__name__,
                "result": None if result is None else result.tree,
            }
        )
    sys.stdout.write(json.dumps(answers))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
