"""The words after a magic."""

from __future__ import annotations

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.notebook.arguments import Arguments

USAGE = "write %x ID"


def arguments(text, **namespace):
    return Arguments(text, namespace, USAGE)


def test_values_are_json_variables_or_words():
    """What parses as JSON is JSON, `$name` is the variable's own value, the rest is text."""
    marker = object()
    given = arguments("""3 true null {"by": "Ada L"} [1, 2] "two words" 'also two' Ada 1.5kg $it""", it=marker)
    assert given.values() == [3, True, None, {"by": "Ada L"}, [1, 2], "two words", "also two", "Ada", "1.5kg", marker]


def test_quoted_json_text_stays_text():
    """Single quotes say: take it as it is."""
    assert arguments("'3' 'null'").values() == ["3", "null"]


def test_what_begins_like_json_must_be_json():
    """A typo in an object is an error and does not go out as a string."""
    with pytest.raises(ConfigurationError, match="not JSON"):
        arguments('{"by": Ada}').values()


def test_words_come_one_after_the_other():
    """Quotes hold a word with spaces together."""
    given = arguments('"report of may" approve 5')
    assert (given.word("id?"), given.word("name?"), given.rest) == ("report of may", "approve", "5")


def test_options_are_taken_from_the_front_only():
    """What looks like an option inside SQL is SQL."""
    given = arguments("--out df --write SELECT 1 --limit 5")
    assert given.options(["out", "limit"], flags=["write"]) == {"out": "df", "write": "true"}
    assert given.rest == "SELECT 1 --limit 5"


def test_an_sql_comment_is_no_option():
    """Two dashes and a space begin a comment."""
    given = arguments("-- all of them\nSELECT 1")
    assert given.options(["out"]) == {}
    assert given.rest.startswith("-- all")


@pytest.mark.parametrize(
    ("act", "part"),
    [
        (lambda: arguments("--lmit 5").options(["limit"]), "did you mean --limit?"),
        (lambda: arguments("--limit").options(["limit"]), "--limit needs a value"),
        (lambda: arguments("").word("which execution?"), f"which execution?; {USAGE}"),
        (lambda: arguments("a b").end(), "too much: 'a b'"),
        (lambda: arguments("$handel", handle=1).subject("?"), "did you mean $handle?"),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_the_usage(act, part):
    """Each error says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        act()
    assert part in str(caught.value)
