"""The PATH argument: what a person typed, as a view and a path in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fustor_core.cli.paths import Place, Watched, inside_view, on_host, physical, resolve
from fustor_core.errors import NoSuchView, QueryError

ONE = [Watched("data", b"/srv/data")]
TWO = [*ONE, Watched("deep", b"/srv/data/deep"), Watched("other", b"/other")]


@pytest.mark.parametrize(
    ("typed", "cwd", "place"),
    [
        (None, b"/", Place("data", b"/")),
        (b"/srv/data", b"/", Place("data", b"/")),
        (b"/srv/data/a/b", b"/", Place("data", b"/a/b")),
        (b"/srv/data//a/./b/", b"/", Place("data", b"/a/b")),
        (b"x", b"/srv/data/sub", Place("data", b"/sub/x")),
        (b".", b"/srv/data/sub", Place("data", b"/sub")),
        (b"../y", b"/srv/data/sub", Place("data", b"/y")),
        (b"/srv/data2/x", b"/", Place("data", b"/srv/data2/x")),
        (b"/elsewhere", b"/", Place("data", b"/elsewhere")),
        (b"data:/srv/data/x", b"/", Place("data", b"/srv/data/x")),
        (b"data:/", b"/", Place("data", b"/")),
        (b"\xff\n", b"/srv/data", Place("data", b"/\xff\n")),
        (b"a:/b", b"/srv/data", Place("data", b"/a:/b")),
    ],
)
def test_one_view(typed: bytes | None, cwd: bytes, place: Place) -> None:
    assert resolve(typed, ONE, cwd=cwd) == place


def test_the_longest_root_wins() -> None:
    assert resolve(b"/srv/data/deep/x", TWO, cwd=b"/") == Place("deep", b"/x")
    assert resolve(b"/srv/data/deeper", TWO, cwd=b"/") == Place("data", b"/deeper")


def test_a_view_of_no_directory_has_no_host_paths() -> None:
    views = [Watched("rooms", b""), Watched("objects", b"s3://bucket")]
    assert on_host(b"/rooms", views, b"/") == []
    assert resolve(b"/x", views[:1], cwd=b"/") == Place("rooms", b"/x")


def test_a_chosen_view_is_the_only_one_that_is_tried() -> None:
    assert resolve(b"/srv/data/deep/x", TWO, chosen="data", cwd=b"/") == Place("data", b"/deep/x")
    assert resolve(b"/other/x", TWO, chosen="data", cwd=b"/") == Place("data", b"/other/x")


@pytest.mark.parametrize("typed", [None, b"/nowhere"])
def test_several_possible_views_are_listed(typed: bytes | None) -> None:
    with pytest.raises(QueryError) as caught:
        resolve(typed, TWO, cwd=b"/")
    assert all(view.view in caught.value.message for view in TWO)


def test_two_views_of_one_root_are_listed() -> None:
    views = [Watched("a", b"/srv"), Watched("b", b"/srv")]
    with pytest.raises(QueryError, match=r"a:/x, b:/x"):
        resolve(b"/srv/x", views, cwd=b"/")


def test_with_a_server_host_paths_are_not_tried() -> None:
    assert resolve(b"/srv/data/x", ONE, cwd=None) == Place("data", b"/srv/data/x")
    with pytest.raises(QueryError):
        resolve(b"x", ONE, cwd=None)


@pytest.mark.parametrize("typed", [b"x", b"../../x", b""])
def test_what_means_nothing_is_refused(typed: bytes) -> None:
    with pytest.raises(QueryError):
        resolve(typed, ONE, cwd=b"/home/me")


def test_views_that_do_not_exist() -> None:
    with pytest.raises(NoSuchView):
        resolve(b"nope:/x", ONE, cwd=b"/")
    with pytest.raises(NoSuchView):
        resolve(None, ONE, chosen="nope")
    with pytest.raises(NoSuchView):
        resolve(None, [])


def test_links_are_followed_above_a_root_and_never_below(tmp_path: Path) -> None:
    root = tmp_path / "top"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "way").symlink_to(root)
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "sub")
    views = [Watched("data", os.fsencode(root))]
    here = os.fsencode(tmp_path)
    assert on_host(b"way/sub", views, here) == [Place("data", b"/sub")]
    assert on_host(b"top/out/x", views, here) == [Place("data", b"/out/x")]
    assert on_host(b"top/in/x", views, here) == [Place("data", b"/in/x")]
    assert on_host(b"top/in/../y", views, here) == [Place("data", b"/y")]
    assert on_host(b"way/../top/sub", views, here) == [Place("data", b"/sub")]
    assert on_host(b"elsewhere", views, here) == []


def test_a_root_that_was_named_by_a_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    views = [Watched("data", os.fsencode(tmp_path / "link"))]
    assert on_host(os.fsencode(tmp_path / "real" / "x"), views, b"/") == [Place("data", b"/x")]
    assert on_host(os.fsencode(tmp_path / "link" / "x"), views, b"/") == [Place("data", b"/x")]


def test_nothing_below_a_root_is_looked_at() -> None:
    asked: list[bytes] = []

    def is_link(path: bytes) -> bool:
        asked.append(path)
        return False

    assert physical(b"/srv/data/a/../b", [b"/srv/data"], is_link) == b"/srv/data/b"
    assert asked == [b"/srv", b"/srv/data"]


@pytest.mark.parametrize(
    ("path", "plain"),
    [(b"/", b"/"), (b"//a///b/", b"/a/b"), (b"/a/../b/.", b"/b"), (b"/\xff", b"/\xff")],
)
def test_a_view_path_has_one_form(path: bytes, plain: bytes) -> None:
    assert inside_view(path) == plain


@pytest.mark.parametrize("path", [b"/..", b"/a/../../b", b"/a\0b"])
def test_a_view_path_stays_in_its_view(path: bytes) -> None:
    with pytest.raises(QueryError):
        inside_view(path)
