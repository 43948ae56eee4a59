"""The promises of every receiver, and where this one listens."""

from __future__ import annotations

import pytest
from fustor_receiver_v08 import V08Receiver
from pydantic import ValidationError

from fustor_core.errors import ConfigError
from fustor_core.testing import receiver_kit

HERE = "127.0.0.1:0"


def config(**options: object) -> V08Receiver.Config:
    return V08Receiver.Config.model_validate({"view": "v", "listen": [HERE], **options})


def test_it_keeps_the_promises_of_a_receiver() -> None:
    receiver_kit(V08Receiver, config())


def test_it_names_where_it_listens_once_it_is_bound() -> None:
    receiver = V08Receiver(config())
    assert receiver.addresses == []
    receiver.bind()
    (address,) = receiver.addresses
    assert address.startswith("http://127.0.0.1:")
    assert not address.endswith(":0")
    other = V08Receiver(config(listen=[address.removeprefix("http://")]))
    with pytest.raises(ConfigError, match="cannot listen"):
        other.bind()


@pytest.mark.parametrize("place", ["nonsense", ":1", "127.0.0.1:x", "127.0.0.1:99999", "unix"])
def test_what_is_no_address_is_refused_with_a_remedy(place: str) -> None:
    with pytest.raises(ConfigError, match="no address") as caught:
        V08Receiver(config(listen=[place])).bind()
    assert caught.value.remedy


def test_it_listens_beyond_loopback_only_when_that_is_wanted() -> None:
    with pytest.raises(ConfigError, match="in the clear") as caught:
        V08Receiver(config(listen=["0.0.0.0:0"])).bind()
    assert "in_the_clear" in caught.value.remedy
    wanted = V08Receiver(config(listen=["0.0.0.0:0"], in_the_clear=True))
    wanted.bind()
    assert wanted.addresses


@pytest.mark.parametrize("options", [{"listen": []}, {"keys": {"a": ""}}, {"nonsense": 1}])
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(**options)
