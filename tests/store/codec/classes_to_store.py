"""Classes whose values the tests store; they must be importable, as classes of users are."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pydantic


class Colour(enum.Enum):
    RED = (255, 0, 0)
    BLUE = "blue"
    ALSO_BLUE = "blue"  # noqa: PIE796  an alias is what is tested


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Name(enum.StrEnum):
    ADA = "ada"


@dataclass
class City:
    name: str
    population: int = 0
    tags: set = field(default_factory=set)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(kw_only=True)
class Derived(City):
    area: float = field(init=False, default=7.0, compare=False)
    factor: InitVar[int] = 2

    def __post_init__(self, factor):
        self.area = self.population * factor


@dataclass
class Table(dict):
    """A dataclass that is a dict as well."""

    name: str = ""


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Order(pydantic.BaseModel):
    number: int
    when: datetime | None = None
    lines: list[dict[str, float]] = []
    _secret: str = pydantic.PrivateAttr(default="s")


class Open(pydantic.BaseModel, extra="allow"):
    inner: Order


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Plain:
    """Nothing special: stored as a pickle."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Plain and vars(self) == vars(other)

    __hash__ = None


class CityError(ValueError):
    """An exception whose constructor does not take its args."""

    def __init__(self, city, *, code):
        super().__init__(f"no {city}")
        self.code = code


def a_function():
    """Return nothing; functions of modules can be stored by name."""
