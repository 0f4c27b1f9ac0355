"""@activity: a plain call outside of workflows, a scheduled one inside."""

from __future__ import annotations

import asyncio
import functools

import pytest
from replay_player import Player

import nbflow
from nbflow import activity
from nbflow.exceptions import ConfigurationError, DefinitionError, NotInWorkflowError


@activity(retry=3, start_to_close_timeout="30s", summary="adds")
def add(a, b=10, *, scale=1):
    """Add two numbers."""
    return (a + b) * scale


@activity
async def slow(x):
    return x + 1


def scheduled(*calls):
    """Schedule activities from a workflow and return the events."""

    async def flow():
        for call in calls:
            call()

    player = Player(flow).start()
    player.close()
    return player.history[1:-1]


def test_outside_it_is_a_plain_call():
    """Nothing is started, in both colours."""
    assert add(1) == 11
    assert add(1, scale=2) == 22
    assert asyncio.run(slow(1)) == 2
    assert (add.__name__, add.__doc__, add.kind) == ("add", "Add two numbers.", "activity")
    assert repr(add) == "<activity add(a, b=10, *, scale=1)>"


def test_inside_it_is_scheduled_with_its_options():
    """Arguments as one list, keyword-only ones as a dict; retry policy, timeouts and summary as declared."""
    plain, bound = scheduled(lambda: add(1, 2), lambda: add(b=5, a=1, scale=3))
    assert (plain.input.tree, plain.keyword_input) == ([1, 2], None)
    assert (bound.input.tree, bound.keyword_input.tree) == ([1, 5], {"scale": 3})
    assert plain.start_to_close_timeout == 30.0
    assert plain.retry_policy["maximum_attempts"] == 3
    assert (plain.activity_type, plain.activity_id, plain.summary) == ("add", "1", "adds")


def test_defaults_are_left_to_the_function():
    """Only what was given is recorded."""
    (event,) = scheduled(lambda: add(1))
    assert event.input.tree == [1]


def test_options_are_for_one_use():
    """The original stays as it was."""
    patient = add.options(retry=9, start_to_close=None, name="other")
    changed, plain = scheduled(lambda: patient(1), lambda: add(1))
    assert (changed.retry_policy["maximum_attempts"], changed.start_to_close_timeout) == (9, None)
    assert plain.retry_policy["maximum_attempts"] == 3
    with pytest.raises(ConfigurationError, match="did you mean 'retry'"):
        add.options(retri=1)


def test_the_wrong_arguments_are_told_at_the_call():
    """Nothing is scheduled."""

    async def flow():
        add(1, 2, 3)

    player = Player(flow).start()
    assert player.types == ["Started", "Failed"]
    assert player.failure.headline() == "ConfigurationError: add(a, b=10, *, scale=1): too many positional arguments"
    player.close()


@pytest.mark.parametrize("colour", ["async", "def"])
def test_map_runs_all_at_once_and_keeps_the_order(colour):
    """Several iterables go in parallel; unequal lengths are a mistake."""

    async def flow():
        return await add.map([1, 2, 3], [10, 20, 30])

    def flow_def():
        return add.map([1, 2, 3], [10, 20, 30])

    player = Player(flow if colour == "async" else flow_def).start()
    assert len(player.activities) == 3
    player.complete(2, "c").complete(0, "a").complete(0, "b")
    assert player.result == ["a", "b", "c"]
    player.close()


def test_map_over_unequal_iterables_is_refused():
    """Rather than dropping the rest."""

    async def flow():
        return await add.map([1, 2, 3], [10])

    player = Player(flow).start()
    assert player.failure.type_name == "ValueError"
    player.close()


def test_map_may_return_exceptions():
    """In place of results."""

    def flow():
        return [type(it).__name__ for it in add.map([1, 2], return_exceptions=True)]

    player = Player(flow).start().complete(0, 1).fail(0, ValueError("x"))
    assert player.result == ["int", "ActivityError"]
    player.close()


def test_start_works_inside_only():
    """It says where."""
    with pytest.raises(NotInWorkflowError, match=r"nbflow\.add\.start\(\) works only inside a running workflow"):
        add.start(1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "only a function can be an activity, not 3"),
        (functools.partial(print), "only a function"),
        (lambda x: x, "give it a name"),
    ],
)
def test_only_named_functions_can_be_marked(target, message):
    """Their names are in the history."""
    with pytest.raises(DefinitionError, match=message):
        activity(target)


def test_generators_can_not_be_marked():
    """A result comes once."""

    def numbers():
        yield 1

    async def async_numbers():
        yield 1

    for function in (numbers, async_numbers):
        with pytest.raises(DefinitionError, match="is a generator function"):
            activity(function)


def test_an_async_def_runs_on_the_loop_only():
    """A thread or process would need a loop of its own."""

    async def fetch(): ...

    with pytest.raises(DefinitionError, match="not in a process"):
        activity(run_in="process")(fetch)
    assert activity(run_in="loop")(fetch).kind == "activity"


def test_marking_again_changes_the_options():
    """As when a cell's mark is edited."""
    again = activity(retry=7)(add)
    assert again.function is add.function
    (event,) = scheduled(lambda: again(1))
    assert event.retry_policy["maximum_attempts"] == 7
    activity(retry=3, start_to_close_timeout="30s", summary="adds")(add.function)


def test_a_method_of_a_class_is_no_activity_of_an_instance():
    """`self` would have to be encoded; the call says what is missing."""

    class Client:
        @activity
        def fetch(self, x):
            return x

    async def flow():
        await Client.fetch(1)

    player = Player(flow).start()
    assert "missing a required argument" in player.failure.message
    player.close()


def test_side_by_side_with_nbflow_gather():
    """gather takes handles in both colours."""

    def flow():
        return nbflow.gather(add.start(1), slow.start(2))

    player = Player(flow).start().complete(0, "a").complete(0, "b")
    assert player.result == ["a", "b"]
    player.close()
