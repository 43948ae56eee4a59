"""The kernel: what rules mean, what is refused and how it is said, how tables are shown."""

from __future__ import annotations

from enum import IntFlag, StrEnum
from typing import Any

import pytest

from fustor_core.errors import IllegalTransition
from fustor_core.machine import Move, Rule, Table


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    LOCKED = "locked"
    GONE = "gone"


class Lamp(IntFlag):
    OFF = 0
    ON = 1
    DIM = 2
    RED = 4


def has_key(facts: Any) -> bool:
    return bool(facts and facts["key"])


DOOR = Table(
    "door",
    Door.SHUT,
    [
        Rule("open", Door.SHUT, Door.OPEN),
        Rule("shut", Door.OPEN, Door.SHUT),
        Rule("lock", Door.SHUT, Door.LOCKED, guard=has_key),
        Rule("unlock", Door.LOCKED, Door.SHUT, guard=has_key),
        Rule("remove", (Door.OPEN, Door.SHUT), Door.GONE),
    ],
    final=[Door.GONE],
)

LAMP = Table(
    "lamp",
    Lamp.OFF,
    [
        Rule("press", Lamp.OFF, Lamp.ON),
        Rule("dim", Lamp.ON, Lamp.DIM, without=Lamp.RED),
        Rule("redden", Lamp.ON, Lamp.RED, clear=Lamp.DIM),
        Rule("cool", Lamp.ON | Lamp.RED, Lamp.ON, clear=Lamp.RED),
        Rule("cut", (Lamp.ON,), Lamp.OFF, clear=Lamp.ON | Lamp.DIM | Lamp.RED),
    ],
    legal=lambda state: not state or bool(state & Lamp.ON),
)


def test_enum_source_equals_and_target_replaces() -> None:
    assert DOOR.next(Door.SHUT, "open") is Door.OPEN
    assert DOOR.next(Door.OPEN, "shut") is Door.SHUT


def test_a_tuple_of_sources_means_any_of_them() -> None:
    assert DOOR.next(Door.OPEN, "remove") is DOOR.next(Door.SHUT, "remove") is Door.GONE
    with pytest.raises(IllegalTransition):
        DOOR.next(Door.LOCKED, "remove")


def test_a_refusal_names_machine_state_event_and_the_legal_events() -> None:
    with pytest.raises(IllegalTransition) as caught:
        DOOR.next(Door.OPEN, "open")
    refusal = caught.value
    assert (refusal.machine, refusal.state, refusal.event) == ("door", "OPEN", "open")
    assert refusal.legal == ("shut", "remove")


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(IllegalTransition):
        DOOR.next(Door.OPEN, "paint")


def test_a_guard_decides_with_the_facts_and_is_named_when_it_refuses() -> None:
    assert DOOR.next(Door.SHUT, "lock", {"key": True}) is Door.LOCKED
    with pytest.raises(IllegalTransition) as caught:
        DOOR.next(Door.SHUT, "lock", {"key": False})
    assert caught.value.legal == ("open", "remove")
    assert caught.value.__notes__ == ["refused by guard has_key"]
    assert "lock" in DOOR.legal_events(Door.SHUT, {"key": True})


def test_the_first_rule_whose_guard_agrees_wins() -> None:
    table = Table(
        "door",
        Door.SHUT,
        [
            Rule("push", Door.SHUT, Door.OPEN, guard=has_key),
            Rule("push", Door.SHUT, Door.GONE),
        ],
    )
    assert table.next(Door.SHUT, "push", {"key": True}) is Door.OPEN
    assert table.next(Door.SHUT, "push", {"key": False}) is Door.GONE
    assert set(table.reachable()) == {Door.SHUT, Door.OPEN, Door.GONE}


def test_flags_drop_clear_then_set_target_and_keep_the_rest() -> None:
    assert LAMP.next(Lamp.ON, "dim") == Lamp.ON | Lamp.DIM
    assert LAMP.next(Lamp.ON | Lamp.DIM, "redden") == Lamp.ON | Lamp.RED
    assert LAMP.next(Lamp.ON | Lamp.RED, "cool") is Lamp.ON
    assert LAMP.next(Lamp.ON | Lamp.DIM, "cut") is Lamp.OFF


def test_a_zero_source_means_exactly_zero() -> None:
    assert LAMP.next(Lamp.OFF, "press") is Lamp.ON
    with pytest.raises(IllegalTransition):
        LAMP.next(Lamp.ON, "press")


def test_all_bits_of_a_source_must_be_set_and_none_of_without() -> None:
    with pytest.raises(IllegalTransition):
        LAMP.next(Lamp.ON, "cool")
    with pytest.raises(IllegalTransition):
        LAMP.next(Lamp.ON | Lamp.RED, "dim")


def test_an_illegal_state_goes_nowhere() -> None:
    with pytest.raises(IllegalTransition) as caught:
        LAMP.next(Lamp.RED | Lamp.DIM, "redden")
    assert caught.value.legal == ()


def test_a_table_that_leads_to_nonsense_says_so() -> None:
    table = Table(
        "lamp",
        Lamp.OFF,
        [Rule("press", Lamp.OFF, Lamp.RED)],
        legal=lambda state: state != Lamp.RED,
    )
    with pytest.raises(ValueError, match="lamp: press leads from OFF to RED"):
        table.next(Lamp.OFF, "press")


def test_an_equal_plain_value_finds_the_same_rules() -> None:
    # As read from a wire or a file; first and again, since answers are remembered.
    for _ in range(2):
        assert LAMP.next(Lamp(5), "cool") is Lamp.ON
        state: Any = 5
        assert LAMP.next(state, "cool") is Lamp.ON
        text: Any = "shut"
        assert DOOR.next(text, "open") is Door.OPEN


def test_bits_to_clear_in_a_plain_enum_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="only flags"):
        Table("door", Door.SHUT, [Rule("open", Door.SHUT, Door.OPEN, clear=Door.SHUT)])
    with pytest.raises(ValueError, match="only flags"):
        Table("door", Door.SHUT, [Rule("open", Door.SHUT, Door.OPEN, without=Door.SHUT)])


def test_a_move_is_a_report() -> None:
    assert DOOR.move("front", Door.SHUT, "open") == Move(
        machine="door", subject="front", event="open", old=Door.SHUT, new=Door.OPEN
    )


def test_reachable_states_of_flags_are_combinations() -> None:
    assert set(LAMP.reachable()) == {
        Lamp.OFF,
        Lamp.ON,
        Lamp.ON | Lamp.DIM,
        Lamp.ON | Lamp.RED,
    }


def test_the_document_is_what_machines_show_prints() -> None:
    shown = LAMP.document()
    assert list(shown) == ["name", "initial", "states", "rules"]
    assert shown["initial"] == "OFF"
    assert shown["states"][0] == {"name": "OFF", "value": 0}
    assert shown["rules"][1] == {
        "event": "dim",
        "source": "ON",
        "target": "DIM",
        "clear": None,
        "guard": "not RED",
    }
    assert shown["rules"][4]["clear"] == "ON|DIM|RED"
    door = DOOR.document()["rules"]
    assert [rule["source"] for rule in door if rule["event"] == "remove"] == ["OPEN", "SHUT"]
    assert next(rule for rule in door if rule["event"] == "lock")["guard"] == "has_key"


def test_an_enum_is_drawn_as_arrows() -> None:
    assert DOOR.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> SHUT",
        "    SHUT --> OPEN: open",
        "    OPEN --> SHUT: shut",
        "    SHUT --> LOCKED: lock [has_key]",
        "    LOCKED --> SHUT: unlock [has_key]",
        "    OPEN --> GONE: remove",
        "    SHUT --> GONE: remove",
        "    GONE --> [*]",
    ]


def test_flags_are_drawn_as_a_region_per_bit_never_as_their_product() -> None:
    assert LAMP.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    state lamp {",
        "        [*] --> no_ON",
        "        no_ON --> ON: press",
        "        ON --> no_ON: cut",
        "        --",
        "        [*] --> no_DIM",
        "        no_DIM --> DIM: dim",
        "        DIM --> no_DIM: redden, cut",
        "        --",
        "        [*] --> no_RED",
        "        no_RED --> RED: redden",
        "        RED --> no_RED: cool, cut",
        "    }",
    ]
