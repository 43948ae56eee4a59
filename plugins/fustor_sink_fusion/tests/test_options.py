"""What may be configured, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_sink_fusion import FusionSink
from pydantic import ValidationError

KEY = "fst_id_a-canary-of-a-key"


def options(url: str, **more: Any) -> Any:
    more = {"key": KEY, "view": "v", **more}
    return FusionSink.Config.model_validate({"url": url, **more})


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("https://fusion.example:8102", False),
        ("https://fusion.example", False),
        ("https://10.0.0.7:8102/behind/a/proxy", False),
        ("https://[2001:db8::1]:8102", False),
        ("https://localhost.example", False),
        ("https://127.0.0.1:8102", True),
        ("http://127.0.0.1:8102", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:8102", True),
        ("http://localhost:8102", True),
        ("http://a.localhost", True),
        ("unix:/run/fustor/api.sock", True),
    ],
)
def test_addresses(url: str, local: bool) -> None:
    made = options(url)
    assert made.local is local
    assert made.packs is not local
    assert options(url, compress="always").packs
    assert not options(url, compress="never").packs
    assert options(url.replace("unix:/", "unix://") if local else url + "/").url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fusion:8102",
        "ftp://h",
        "https://",
        "https:///path",
        "https://h:0",
        "https://h:99999",
        "https://h:x",
        "https://[::1",
        "https://h?x=1",
        "https://h/#x",
        "https://h h",
        "https://h\n",
        "https://hö",
        "unix:",
        "unix:relative",
        "unix:/a\0b",
        f"https://user:{KEY}@h",
        f"https://{KEY}@h",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        options(url)
    assert KEY not in str(raised.value)
    assert "url" in str(raised.value)


@pytest.mark.parametrize("url", ["http://fusion:8102", "http://10.0.0.7", "http://[2001:db8::1]:1"])
def test_nothing_goes_over_the_network_in_the_clear(url: str) -> None:
    with pytest.raises(ValidationError, match=r"use https://,.*insecure: true"):
        options(url)
    assert options(url, insecure=True).url == url


def test_tcp_needs_a_key_and_a_socket_does_not() -> None:
    for url in ("http://127.0.0.1:1", "https://h"):
        with pytest.raises(ValidationError, match="needs `key`, on loopback too"):
            options(url, key=None)
    assert options("unix:/s", key=None).key is None


def test_a_key_is_one_word() -> None:
    assert options("unix:/s", key=f" {KEY}\n").key.get_secret_value() == KEY
    for odd in ("", " ", "a b", "a\nb", "schlüssel", "a\0"):
        with pytest.raises(ValidationError, match="one word"):
            options("unix:/s", key=odd)


def test_a_key_is_told_to_nobody() -> None:
    made = options("https://h")
    for shown in (repr(made), str(made), repr(FusionSink(made)), made.model_dump_json()):
        assert KEY not in shown
    with pytest.raises(ValidationError) as raised:
        options("https://h", key=f"{KEY} x", compress="sometimes")
    assert KEY not in str(raised.value)
    assert KEY not in str(raised.value.errors(include_input=False))


def test_certificates_are_for_tls() -> None:
    assert options("https://h", ca="/etc/ca.pem").ca is not None
    for url in ("http://127.0.0.1", "unix:/s"):
        for name in ("ca", "cert"):
            with pytest.raises(ValidationError, match=f"`{name}` is for https:// only"):
                options(url, **{name: "/etc/a.pem"})


@pytest.mark.parametrize(
    "more", [{"timeout": 0}, {"timeout": "soon"}, {"view": ""}, {"compress": "gzip"}, {"odd": 1}]
)
def test_other_options_that_make_no_sense(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options("https://h", **more)


def test_a_view_is_needed() -> None:
    with pytest.raises(ValidationError, match="view"):
        FusionSink.Config.model_validate({"url": "unix:/s"})
