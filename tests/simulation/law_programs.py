"""Random programs, drawn from a grammar by a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from law_workflow import ACTS, POLICIES, Op

PLAIN = ("act", "act", "act", "sleep", "effect", "chance", "now")
CALM = (*PLAIN, "child", "patched", "gather", "group", "try", "shield", "repeat")
ALL = (*CALM, "race", "race", "timeout", "signal", "signal", "cond", "fail", "beside", "inform", "stop")
NESTED = frozenset({"gather", "group", "try", "shield", "repeat", "race", "timeout", "child", "beside", "patched"})


@dataclass(frozen=True)
class Program:
    """What one execution runs, and how it is started."""

    ops: list[Op]
    is_calm: bool
    """True if nothing but crashes and retries can happen to it, and it must return what ``evaluate`` says."""
    options: dict[str, Any]


def draw_program(rng: Random) -> Program:
    """Draw a program."""
    is_calm = rng.random() < 0.4
    size = _Size(rng.randint(2, 14))
    ops = []
    while size.left > 0 and len(ops) < 6:
        ops.append(_draw(rng, size, 0, CALM if is_calm else ALL))
    if rng.random() < 0.15:
        ops.append(["again", *(_draw(rng, size, 1, CALM if is_calm else ALL) for _ in range(2))])
    options: dict[str, Any] = {}
    if rng.random() < 0.15:
        options["start_delay"] = rng.choice([5, 60, 1000])
    if not is_calm and rng.random() < 0.2:
        options["execution_timeout"] = rng.choice([30, 300, 4000])
    if not is_calm and rng.random() < 0.2:
        options["on_error"] = "suspend"
    return Program(ops, is_calm, options)


@dataclass
class _Size:
    left: int


def _draw(rng: Random, size: _Size, depth: int, kinds: tuple[str, ...]) -> Op:
    size.left -= 1
    kind = rng.choice(kinds)
    if kind in NESTED and (depth >= 2 or size.left <= 0):
        kind = "act"
    is_calm = kinds is CALM

    def several(most: int) -> list[Op]:
        return [_draw(rng, size, depth + 1, kinds) for _ in range(rng.randint(1, most))]

    match kind:
        case "act":
            return ["act", "plain" if is_calm else rng.choice(sorted(ACTS)), rng.randrange(100)]
        case "sleep":
            return ["sleep", rng.choice([0.5, 10, 10, 60, 900, 5000])]
        case "gather" | "group" | "race":
            return [kind, *several(3)]
        case "child":
            return [kind, rng.choice(POLICIES), *several(2)]
        case "beside":
            return [kind, rng.choice(POLICIES), *several(2)]
        case "patched":
            return [kind, f"patch {rng.randint(1, 3)}", *several(1)]
        case "inform":
            return [kind, f"w{rng.randrange(3)}", f"inner {rng.randrange(100)}"]
        case "stop":
            return [kind, f"w{rng.randrange(3)}"]
        case "shield":
            return [kind, *several(2)]
        case "repeat":
            return [kind, rng.randint(1, 3), *several(2)]
        case "timeout":
            return [kind, rng.choice([0, 1, 10, 60, 600]), *several(2)]
        case "try":
            return [kind, several(2), several(1)]
        case "signal":
            return [kind, rng.choice([5, 60, 2000])]
        case "cond":
            return [kind, rng.randint(1, 2), rng.choice([5, 60, 2000])]
        case "effect":
            return [kind, rng.randrange(100)]
        case "fail":
            return [kind, "as planned"]
    return [kind]
