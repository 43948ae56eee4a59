"""The laws of what several writers say of one node, and what follows from them for people."""

from __future__ import annotations

from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fustor_core.state_runs.replicas import ORDER, Replica, joined, word
from fustor_core.states.node import NodeStatus

PAYLOADS = st.none() | st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2)


@st.composite
def words(draw: st.DrawFn) -> Replica:
    return word(
        draw(st.sampled_from(["old", "new", "third"])),
        draw(st.integers(0, 20)),
        draw(st.integers(0, 3)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from(NodeStatus)),
        **draw(
            st.dictionaries(
                st.sampled_from(["input_payload", "output_payload", "error"]), PAYLOADS, max_size=3
            )
        ),
    )


replicas = st.lists(words(), max_size=6).map(lambda said: reduce(joined, said, Replica()))


@given(replicas, replicas)
def test_the_order_does_not_matter(a: Replica, b: Replica) -> None:
    assert joined(a, b) == joined(b, a)


@pytest.mark.long
@given(replicas, replicas, replicas)
def test_the_grouping_does_not_matter(a: Replica, b: Replica, c: Replica) -> None:
    assert joined(joined(a, b), c) == joined(a, joined(b, c))


@given(replicas, replicas)
def test_repetition_does_not_matter(a: Replica, b: Replica) -> None:
    once = joined(a, b)
    assert joined(once, b) == once
    assert joined(a, a) == a
    assert joined(Replica(), a) == a


@given(replicas, words())
def test_a_delta_says_as_much_as_the_replica_that_it_came_from(a: Replica, delta: Replica) -> None:
    """Who gets the delta alone knows what who gets everything knows."""
    sender = joined(a, delta)
    assert joined(a, sender) == joined(a, delta)


@pytest.mark.long
@settings(max_examples=200)
@given(st.lists(words(), min_size=1, max_size=5), st.data())
def test_lost_repeated_and_late_words_end_in_one_state(
    said: list[Replica], data: st.DataObject
) -> None:
    """Three replicas hear the same words, each in an order of its own, some of them twice."""
    heard = []
    for _ in range(3):
        order = data.draw(st.permutations(said))
        repeated = data.draw(st.lists(st.sampled_from(said), max_size=3))
        heard.append(reduce(joined, [*order, *repeated], Replica()))
    assert heard[0] == heard[1] == heard[2]
    assert heard[0].standing == max(one.standing for one in said)


def test_the_last_words_of_the_old_leader_undo_nothing() -> None:
    begun = word("old", 1, 1, 1, NodeStatus.EXECUTING, input_payload={"session": "old"})
    late = word("old", 9, 1, 1, NodeStatus.SUCCEEDED, output_payload={"files": 1})
    new = word("new", 3, 2, 1, NodeStatus.EXECUTING, input_payload={"session": "new"})
    for order in permutations([begun, late, new]):
        node = reduce(joined, order, Replica()).node("fill_data_1")
        assert node.status is NodeStatus.EXECUTING
        assert node.input_payload == {"session": "new"}


def test_what_is_over_is_not_begun_again_by_a_repeated_word() -> None:
    begun = word("one", 1, 1, 2, NodeStatus.EXECUTING)
    ended = word("one", 2, 1, 2, NodeStatus.SUCCEEDED)
    assert joined(ended, begun).node("x").status is NodeStatus.SUCCEEDED
    again = word("one", 3, 1, 3, NodeStatus.EXECUTING)
    after = joined(joined(ended, again), begun)
    assert (after.node("x").status, after.attempt) == (NodeStatus.EXECUTING, 3)


def test_an_error_belongs_to_its_attempt() -> None:
    failed = word("one", 1, 1, 1, NodeStatus.RETRYING, error={"message": "no"})
    again = word("one", 2, 1, 2, NodeStatus.EXECUTING)
    assert failed.node("x").error == {"message": "no"}
    after = joined(failed, again).node("x")
    assert (after.error, after.retry_count) == (None, 1)


def test_every_status_has_its_place() -> None:
    assert sorted(ORDER) == sorted(NodeStatus)
