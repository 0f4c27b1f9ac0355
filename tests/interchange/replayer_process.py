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


def signal_after_others(history) -> bool:
    """Say whether the history is one of those that the exporter refuses, because of a pause."""
    from nbflow.exceptions import HistoryFormatError
    from nbflow.interchange.temporal_export import temporal_history

    try:
        temporal_history(history, "run")
    except HistoryFormatError as error:
        return "reached the code together" in str(error)
    return False


def main() -> None:
    sys.path.insert(0, str(HERE.parent / "replay"))
    from replay_corpus import CORPUS
    from replay_player import definition_of

    from nbflow.core.payloads import JsonConverter
    from nbflow.temporal.replaying import replay_histories

    definitions = {body.name: definition_of(body.function) for body in CORPUS}
    last = []

    def one_by_one():
        for history in json.load(sys.stdin):
            last.append(None)  # the Replayer takes the next history when it is done with the one before
            yield history

    def remember(_run_id, command):
        last[-1] = command

    found = asyncio.run(replay_histories(one_by_one(), JsonConverter(), lambda name, _: definitions[name], remember))
    answers = []
    for error, command in zip(found, last, strict=True):
        result = getattr(command, "result", None)
        answers.append(
            {"error": None if error is None else str(error), "result": None if result is None else result.tree}
        )
    sys.stdout.write(json.dumps(answers))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
