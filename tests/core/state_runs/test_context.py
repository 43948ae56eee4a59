"""No secret is told: neither of the environment, nor in any text."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from fustor_core.state_runs.context import (
    MASK,
    Scrubber,
    config_hash,
    secrets_of,
    shown_environment,
)

SECRET = 's3cr3t/"plus+more"'


def test_only_allowed_values_are_shown() -> None:
    environ = {"DEBUG": "true", "API_TOKEN": SECRET, "HOME": "/root", "MINE": "yes"}
    assert shown_environment(environ, ["MINE"]) == {
        "API_TOKEN": MASK,
        "DEBUG": "true",
        "HOME": MASK,
        "MINE": "yes",
    }


def test_what_is_named_like_a_secret_is_one() -> None:
    environ = {
        "API_TOKEN": SECRET,
        "AWS_SECRET_ACCESS_KEY": "abcdefgh",
        "KEY": "ab",
        "MONKEY": "x" * 9,
    }
    assert secrets_of(environ) == {SECRET, "abcdefgh"}
    assert secrets_of(environ, ["API_TOKEN"]) == {"abcdefgh"}


def test_a_place_is_no_secret() -> None:
    """Else a directory that `fustor up` was started in would be masked wherever it is told."""
    places = {"PWD": "/srv/data", "OLDPWD": "/srv/data", "FUSTOR_KEY_FILE": "/etc/fustor/key"}
    assert secrets_of({**places, "SSH_AUTH_SOCK": "/run/agent", "DB_PWD": "hunter22"}) == {
        "hunter22"
    }


def test_a_secret_is_found_in_each_form() -> None:
    scrub = Scrubber([SECRET])
    for form in (
        SECRET,
        f"https://host/?key={quote(SECRET, safe='')}",
        json.dumps({"a": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
    ):
        assert MASK in scrub.text(f"it said {form} to me")
        assert SECRET not in scrub.text(form)
    assert scrub.text("https://me:hunter22@host/x") == f"https://me:{MASK}@host/x"


@given(
    st.text("abc", min_size=6, max_size=12),
    st.recursive(
        st.text("abc", max_size=30) | st.integers() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", max_size=9), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)
def test_nothing_inside_a_value_keeps_it(secret: str, value: object) -> None:
    assert secret not in json.dumps(Scrubber([secret]).clean([value, secret]))


def test_short_words_are_left_alone() -> None:
    assert Scrubber(["data", ""]).text("the data") == "the data"


def test_the_hash_is_of_what_is_configured() -> None:
    one = config_hash({"a": 1, "b": None})
    assert one == config_hash({"b": None, "a": 1})
    assert one != config_hash({"a": 2, "b": None})
    assert len(one) == 16
