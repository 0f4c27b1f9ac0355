"""What may happen next to a played execution, so that hypothesis can choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from replay_corpus import Body
from replay_player import Player, snapshot

from nbflow.exceptions import ApplicationError

MOST_MOVES = 60


def moves(player: Player, body: Body, sent: int, asked: int) -> list[Callable[[], object]]:
    """Everything that the world may do now, in a fixed order."""
    possible: list[Callable[[], object]] = []
    for place, (event_id, event) in enumerate(player.activities.items()):
        possible.append(lambda place=place: player.run(place))
        if event.activity_type.startswith("flaky"):
            possible.append(
                lambda place=place: player.fail(place, ApplicationError("no luck", type="Flaky"), attempt=3)
            )
            possible.append(lambda place=place: player.time_out(place))
        if event_id in player.cancel_requests:
            possible.append(lambda place=place: player.let_cancel(place))
            possible.append(lambda place=place: player.let_cancel(place, ran=False))
    possible += player.others.moves()
    if player.timers:
        possible.append(player.fire)
    if sent < len(body.signals):
        name, args = body.signals[sent]
        possible.append(lambda: player.signal(name, *args))
    if asked < len(body.updates) and player.instance.pause is None:
        possible.append(lambda: _update(player, *body.updates[asked]))
    if body.may_cancel and not player.instance.cancel_requested:
        possible.append(player.cancel)
    possible.append(player.pause if player.instance.pause is None else player.unpause)
    return possible


def _update(player: Player, name: str, args: tuple) -> str:
    """Ask for an update, which the code may reject."""
    before = len(player.history)
    try:
        player.update(name, *args)
    except ValueError:
        assert len(player.history) == before
    return "asked"


class Played:
    """A history that came about by choices, and what was seen after each activation."""

    def __init__(self, body: Body, choices: Sequence[int]) -> None:
        self.body = body
        self.player = player = Player(body.function, *body.args)
        self.views: dict[int, object] = {}
        sent = asked = 0
        player.start()
        self.look()
        for choice in [*choices, *[0] * MOST_MOVES][:MOST_MOVES]:
            possible = moves(player, body, sent, asked)
            if player.instance.is_closed or possible == [player.pause]:
                break
            before = len(player.history)
            asked += possible[choice % len(possible)]() == "asked"
            sent += sum(event.startswith("Signaled") for event in player.types[before:])
            self.look()

    def look(self) -> None:
        """Take down what can be seen now, behind the events so far."""
        self.views[len(self.player.history)] = view(self.player.instance, self.body)


def view(instance, body: Body) -> object:
    """What can be seen of an instance, its query's answer included."""
    answer = instance.query("state", []) if body.has_query and not instance.is_closed else None
    return snapshot(instance), repr(answer)
