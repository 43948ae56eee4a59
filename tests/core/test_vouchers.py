"""Vouchers open one thing once, within a short time."""

from __future__ import annotations

from fustor_core.vouchers import TEXT_MAX, Vouchers


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_voucher_opens_once() -> None:
    vouchers: Vouchers[str] = Vouchers(30.0)
    text = vouchers.make("the door")
    assert vouchers.take(text) == "the door"
    assert vouchers.take(text) is None


def test_a_voucher_ends_and_is_forgotten() -> None:
    clock = Clock()
    vouchers: Vouchers[str] = Vouchers(30.0, now_s=clock)
    old, clock.now_s = vouchers.make("old"), 120.0
    young = vouchers.make("young")
    clock.now_s = 130.0
    assert vouchers.take(old) is None
    assert len(vouchers) == 1
    assert vouchers.take(young) == "young"


def test_no_two_are_alike_and_none_is_told() -> None:
    vouchers: Vouchers[int] = Vouchers(30.0)
    made = {vouchers.make(number) for number in range(50)}
    assert len(made) == 50
    assert min(len(text) for text in made) == 43, "256 bits in base64"
    assert not any(text in repr(vars(vouchers)) for text in made)


def test_too_many_push_out_the_oldest() -> None:
    vouchers: Vouchers[int] = Vouchers(30.0, most=2)
    first, second, third = (vouchers.make(number) for number in range(3))
    assert [vouchers.take(text) for text in (first, second, third)] == [None, 1, 2]


def test_nonsense_opens_nothing() -> None:
    vouchers: Vouchers[int] = Vouchers(30.0)
    vouchers.make(1)
    for text in ("", "x", "\udcff", "é", "x" * (TEXT_MAX + 1)):
        assert vouchers.take(text) is None
    assert len(vouchers) == 1
