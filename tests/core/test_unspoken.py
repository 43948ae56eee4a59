"""What a configuration's errors do not repeat: secrets, wherever they stand in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.config import ConfigErrors, load_config
from fustor_core.config.unspoken import in_urls, line_masked, urls_masked

SECRET = "s3cr3t-w0rd"


@pytest.mark.parametrize(
    "line",
    [
        f"sink: {{driver: fusion, key: {SECRET}, view: v}}",
        f'    key: "{SECRET}"',
        f"    key: '{SECRET}",
        f"  api_token: {SECRET}  # mine",
        f"keys: {{one: {SECRET}, two: {SECRET}}}",
        f"keys: [{SECRET}]",
        f'"secret": "{SECRET}"',
        f"url: https://me:{SECRET}@host/x",
        f"url: https://host/x?a=1&token={SECRET}",
        f"PASSWORD={SECRET}",
        f"key: ${{PUSH_KEY:-{SECRET}}}",
    ],
)
def test_a_line_is_as_long_as_before_and_tells_nothing(line: str) -> None:
    masked = line_masked(line)
    assert SECRET not in masked
    assert "*" * len(SECRET) in masked
    assert len(masked) == len(line), "a column points to the same place"
    assert line_masked(masked) == masked


@pytest.mark.parametrize(
    "line",
    [
        'key: "${file:/run/secrets/push}"',
        "key: ${PUSH_KEY}",
        "tls: {cert: /etc/a.pem, key: /etc/a.key}",
        "encryption_key: env:STATE_KEY",
        "key: null",
        "monkey: banana",
        "exclude: ['*.tmp']",
        "url: https://host/x?page=2",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert line_masked(line) == line


@given(st.text(max_size=60))
def test_any_line_keeps_its_length(line: str) -> None:
    assert len(line_masked(line)) == len(line)


def test_urls_are_masked_and_their_secrets_known() -> None:
    url = f"https://me:{SECRET}@h/?x=1&api_key={SECRET}2&y=2"
    assert urls_masked(url, "***") == "https://me:***@h/?x=1&api_key=***&y=2"
    assert in_urls(url) == [SECRET, f"{SECRET}2"]


def test_an_error_shows_its_line_without_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    sink = f"sink: {{driver: fusion, kei: 1, key: {SECRET}, url: 'http://h', view: v}}"
    path.write_text(f"pipes:\n  p:\n    sorce: {{driver: fs}}\n    {sink}\n    key: {SECRET}\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config([path], {})
    told = [text for one in caught.value.errors for text in (one.message, one.excerpt)]
    assert any("***" in text for text in told)
    assert not [text for text in told if SECRET in text]
