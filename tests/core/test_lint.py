"""What a source says about determinism: surely wrong things are told, others are not."""

from __future__ import annotations

import pytest

from nbflow.core.lint import lint_class, lint_workflow


def told(body: str, colour: str = "def") -> list[str]:
    """Lint a workflow with this body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return [finding.message for finding in lint_workflow(f"{colour} flow():\n{lines}\n")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("open('x')", "open() reads or writes a file; do that in an activity"),
        ("requests.get('x')", "requests.get() calls a service"),
        ("pd.read_csv('x')", "pd.read_csv() reads or writes data"),
        ("path.write_text('x')", "path.write_text() reads or writes data"),
        ("subprocess.run(['x'])", "subprocess.run() runs a process"),
        ("threading.Thread(target=f)", "threading.Thread() starts a thread"),
        ("np.random.rand(3)", "np.random.rand() is random; use nbflow.random()"),
        ("secrets.token_hex()", "secrets.token_hex() is random"),
        ("pd.Timestamp.now()", "pd.Timestamp.now() is another time in every replay"),
        ("for x in {1, 2}: pass", "iterates a set"),
        ("for x in set(y): pass", "iterates a set"),
        ("z = [x for x in {y for y in z}]", "iterates a set"),
        ("global count", "assigns the global count"),
    ],
)
def test_what_is_surely_wrong_is_told(body, message):
    """With what to write instead."""
    assert any(message in it for it in told(body)), told(body)


@pytest.mark.parametrize(
    "body",
    [
        "x = time.time()",
        "x = random.random()",
        "x = datetime.now()",
        "time.sleep(5)",
        "nbflow.sleep(5)",
        "for x in sorted({1, 2}): pass",
        "x = 1 in {1, 2}",
        "x = nbflow.side_effect(lambda: open('x').read())",
        "print('x')",
        "x = settings.open",
        "x = np.sqrt(4)",
    ],
)
def test_what_is_fine_is_not_told(body):
    """Twins stand in for clocks and chance; side effects may do IO."""
    assert told(body) == []


@pytest.mark.parametrize("wait", ["nbflow.sleep(5)", "nbflow.wait_for_signal('x')", "nbflow.gather(a, b)"])
def test_a_wait_that_nobody_awaits_is_told(wait):
    """In async def; awaited, kept in a variable or in def it is fine."""
    assert any("is not awaited" in it for it in told(wait, "async def"))
    assert told(f"await {wait}", "async def") == told(f"x = {wait}", "async def") == told(wait) == []


def test_a_blocking_sleep_in_async_def_is_told():
    """It would be refused when it runs."""
    assert "would block an async def" in told("time.sleep(5)", "async def")[0]


def test_a_def_handler_within_async_def_may_block():
    """It has a greenlet of its own."""
    assert told("def on_signal():\n    nbflow.sleep(5)\nif x:\n    def f(): time.sleep(5)", "async def") == []


def test_lines_are_told_in_order():
    """From 1, each finding once."""
    findings = lint_workflow("def flow():\n    x = 1\n    open('b'); open('b')\n    input()\n")
    assert [finding.line for finding in findings] == [3, 4]


def test_a_text_that_does_not_parse_is_left_alone():
    """Python will tell."""
    assert lint_workflow("def flow(:") == lint_class("class :") == []


@pytest.mark.parametrize("call", ["time.time()", "datetime.now()", "random.random()", "uuid.uuid4()", "open('x')"])
def test_methods_of_classes_see_the_real_world(call):
    """A class runs over its own globals, so its clocks and chance are told."""
    source = f"class Stamp:\n    def make(self):\n        return {call}\n"
    assert len(lint_class(source)) == 1
    assert lint_class(source)[0].line == 3
