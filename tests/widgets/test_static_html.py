"""Static HTML: readable anywhere, and safe whatever a value holds."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser

import pytest

from nbflow.widgets.look import LOOKS
from nbflow.widgets.static_html import execution_html, facts_html, progress_html

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt;\x1b[31m\u202e`${x}"
GROUP = {"activity_type": "fetch", "total": 36, "done": 12, "states": {"Completed": 12}, "retried": 2, "retries": 2}
PROGRESS = {
    "workflow_id": "report", "status": "Running", "retries": 2, "seconds": 8.0, "is_waited_for": True,
    "groups": [GROUP],
    "next_timer": {"label": "nap", "fire_time": "2026-11-02T12:04:10+00:00", "seconds": 20.0},
}  # fmt: skip

# JupyterLab's sanitizer for notebooks that are not trusted (packages/apputils/src/sanitizer.ts): the part in use here
TAGS = {"b", "br", "code", "details", "div", "pre", "span", "summary", "table", "td", "th", "tr"}
ATTRIBUTES = {"style", "title", "open"}
COLOUR = r"#(0x)?[0-9a-f]+"
LENGTH = r"[+]?([0-9]*[.])?[0-9]+(px|em|%)|0"
LENGTHS = rf"(({LENGTH})\s*){{1,4}}"
STYLES = {
    "background": rf"none|{COLOUR}",
    "background-color": COLOUR,
    "border": rf"(({LENGTH}|none|solid|{COLOUR})\s*){{1,3}}",
    "border-collapse": "collapse",
    "border-radius": LENGTHS,
    "color": COLOUR,
    "display": "inline-block",
    "font-family": "monospace",
    "font-size": LENGTH,
    "font-weight": "normal|bold|[1-9]00",
    "height": LENGTH,
    "line-height": r"([0-9]*[.])?[0-9]+",
    "margin": LENGTHS,
    "max-height": LENGTH,
    "max-width": LENGTH,
    "opacity": r"0[.][0-9]+",
    "overflow": "auto|hidden",
    "padding": LENGTHS,
    "text-align": "left|right",
    "vertical-align": "top|middle",
    "white-space": "normal|pre|nowrap|pre-wrap|pre-line",
    "width": LENGTH,
    "word-break": "normal|break-all",
}


class Reader(HTMLParser):
    """Collects what a browser would see, and what the sanitizer would drop."""

    def __init__(self, html):
        super().__init__()
        self.dropped, self.text, self.open = [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag not in TAGS:
            self.dropped.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES:
                self.dropped.append(name)
            if name == "style":
                self.dropped += [rule for rule in value.split(";") if rule.strip() and not allowed(rule)]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def allowed(rule):
    name, _, value = (part.strip() for part in rule.partition(":"))
    return name in STYLES and re.fullmatch(STYLES[name], value, re.IGNORECASE) is not None


def fill(value, text):
    """Return the view with every text in it replaced, but for times, statuses and icons."""
    if isinstance(value, dict):
        fixed = ("start_time", "close_time", "fire_time", "next_attempt_time", "states")
        return {key: it if key in fixed else fill(it, text) for key, it in value.items()}
    if isinstance(value, list):
        return [fill(it, text) for it in value]
    return text if isinstance(value, str) else value


def test_a_card_is_what_jupyterlab_lets_through(full_view):
    """In a notebook that is not trusted nothing of it is dropped, and every tag is closed."""
    reader = Reader(execution_html(full_view))
    assert (reader.dropped, reader.open) == ([], [])


def test_a_line_of_progress_is_what_jupyterlab_lets_through():
    """The same holds for progress and for facts."""
    for html in (progress_html([PROGRESS], {"Running": 3}), facts_html("nbflow", [("store", "x.duckdb")])):
        reader = Reader(html)
        assert (reader.dropped, reader.open) == ([], [])


def test_hostile_values_stay_text(full_view):
    """Whatever ids, names, messages, inputs and statuses hold, they add no tag and no attribute."""
    view = fill(copy.deepcopy(full_view), HOSTILE)
    view["signals"] = {HOSTILE: 2}
    reader = Reader(execution_html(view))
    assert (reader.dropped, reader.open) == ([], [])
    assert "<script>alert(1)</script>" in reader.text
    plain = Reader(execution_html(full_view))
    assert execution_html(view).count("<") <= execution_html(full_view).count("<"), "a value opened a tag"
    assert plain.text != reader.text


def test_hostile_values_stay_text_in_progress_and_facts():
    """The same holds for progress and for facts."""
    for html in (
        progress_html([fill(PROGRESS, HOSTILE)], {HOSTILE: 1}),
        facts_html(HOSTILE, [(HOSTILE, HOSTILE)]),
    ):
        assert Reader(html).dropped == []


def test_a_card_tells_what_happened(full_view):
    """Status in words, counts, attempts, absolute times, cause chain and traceback are there to read."""
    text = Reader(execution_html(full_view)).text
    for part in (
        "Running", "report-2026-11", "36/40 done", "1 failed", "1 to retry", "3 retried", "attempt", "503 Service",
        "next attempt 2026-11-02 12:04:05 UTC", "fires 2026-12-02 12:00:00 UTC", "and 2 more", "approve (2 times)",
        "caused by", "ConnectionError", 'File "cell", line 3', "the source is gone", "waiting for 3 activities",
    ):  # fmt: skip
        assert part in text, part


def test_a_failed_activity_is_in_sight_while_the_execution_is_open(full_view):
    """Trouble needs no click; what went well in the end does."""
    assert "<details open><summary>2 of 40 activities" in execution_html(full_view)
    done = full_view | {"status": "Completed"}
    assert "<details open>" not in execution_html(done)


@pytest.mark.parametrize("status", LOOKS)
def test_every_status_has_an_icon_and_a_colour_that_can_be_seen(status):
    """White text on the colour can be read (4.5:1), and the colour stands out from white and from black (3:1)."""
    look = LOOKS[status]
    assert len(look.icon) == 1
    assert contrast(look.colour, "#ffffff") >= 4.5
    assert contrast(look.colour, "#111111") >= 3


def test_no_two_statuses_of_an_execution_differ_by_colour_alone():
    """Icons tell them apart for people and screens that don't see colours."""
    open_, closed = ("Running", "Paused", "Suspended"), ("Completed", "Failed", "Canceled", "Terminated", "TimedOut")
    statuses = (*open_, *closed, "ContinuedAsNew")
    assert len({LOOKS[status].icon for status in statuses}) == len(statuses)


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [it / 12.92 if it <= 0.03928 else ((it + 0.055) / 1.055) ** 2.4 for it in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
