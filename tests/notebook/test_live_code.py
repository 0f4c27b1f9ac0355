"""Editing cells of a notebook while executions are in flight."""

from __future__ import annotations

STEPS = """\
%%activity
def live_fetch(x):
    return x

def live_other(x):
    return x
"""
CELL = """\
%%workflow
def live_report(x):
    got = {step}(x)
    word = nbflow.wait_for_signal("go")
    return [live_label(word), got]
"""
HELPER = "def live_label(word):\n    return {!r} + word"
START = "hs = [live_report.options(id=f'live-{i}').start(i) for i in range(3)]"
WHY = "recorded is event 2 ActivityTaskScheduled(live_fetch), the code asks for ScheduleActivityTask(live_other)"
WAIT = """\
import time
while nbflow.sql("SELECT count(*) AS n FROM events WHERE event_type = 'ActivityTaskCompleted'").n[0] < 3:
    time.sleep(0.01)
"""


def test_an_edited_cell_shows_who_moved_and_who_stays(kernel):
    """Under the cell: one line, and a table of why, where, what to do; in the kernel: the object behind it."""
    for cell in (STEPS, HELPER.format("old "), CELL.format(step="live_fetch"), START, WAIT):
        reply = kernel.run(cell)
        assert (reply.status, reply.displays, reply.errors) == ("ok", [], ""), reply.traceback
    assert kernel.run(CELL.format(step="live_fetch")).displays == []
    (moved,) = kernel.run(HELPER.format("new ")).displays
    assert moved["text/plain"] == "3 executions of live_report moved to the new code"
    (stays,) = kernel.run(CELL.format(step="live_other")).displays
    assert stays["text/plain"].split("\n")[:3] == [
        "3 executions of live_report stay on the old code",
        f"  live-0, live-1, live-2: {WHY}",
        "    at line 3: got = live_other(x)",
    ]
    assert "<table" in stays["text/html"]
    assert "got = live_other(x)" in stays["text/html"]
    reply = kernel.run("for h in hs: h.signal('go', 'go')\n[h.result() for h in hs], len(nbflow.code_check().misfits)")
    assert reply.result["text/plain"] == "([['new go', 0], ['new go', 1], ['new go', 2]], 3)"
