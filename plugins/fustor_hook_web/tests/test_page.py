"""What the page consists of: paths follow its content, nothing in it comes from elsewhere."""

from __future__ import annotations

import re

import pytest
from fustor_hook_web import page
from fustor_hook_web.page import FRONT, assets, contents

from fustor_core.contracts import Asset
from fustor_core.registry import Registry
from fustor_core.shelf import shelved

LINES_MAX = 400
# What would turn text into markup or code, whatever the text is.
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|setTimeout\(['\"`]"
    r"|DOMParser|srcdoc|createContextualFragment|\.cookie|localStorage"
)
IMPORT = re.compile(r'^import [^;]*? from "\./([\w.]+)";$', re.MULTILINE | re.DOTALL)


def found() -> dict[str, Asset]:
    return {asset.path: asset for asset in page.fustor_assets()}


def scripts() -> dict[str, str]:
    return {name: text.decode() for name, text in contents().items() if name.endswith(".js")}


def test_the_front_page_is_asked_for_again_and_the_rest_is_kept() -> None:
    served = found()
    assert not served["/"].lasting
    assert all(asset.lasting for path, asset in served.items() if path != "/")
    assert shelved([list(served.values())]) == (list(served.values()), [])


def test_every_path_changes_with_any_content() -> None:
    files = {FRONT: b"{{assets}}", "a.js": b"1", "b.css": b"2"}
    before = {asset.path for asset in assets(files)} - {"/"}
    after = {asset.path for asset in assets({**files, "b.css": b"3"})} - {"/"}
    assert len(before) == 2
    assert not before & after


def test_the_front_page_names_every_script_and_only_what_is_there() -> None:
    served = found()
    front = served["/"].content.decode()
    named = set(re.findall(r'(?:href|src)="([^"]+)"', front))
    assert "{{" not in front
    assert named <= served.keys()
    assert {path for path in served if path.endswith(".js")} <= named


def test_nothing_stands_in_markup_that_the_policy_forbids() -> None:
    front = found()["/"].content.decode()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", front)


@pytest.mark.parametrize("name", sorted(scripts()))
def test_a_script_is_small_and_makes_no_markup(name: str) -> None:
    text = scripts()[name]
    assert len(text.splitlines()) <= LINES_MAX
    assert not MARKUP.findall(text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_scripts_import_only_each_other() -> None:
    texts = scripts()
    for name, text in texts.items():
        said = [line for line in text.splitlines() if re.match(r"import\b|export .* from ", line)]
        assert len(IMPORT.findall(text)) == len(said), f"{name}: an import of another form"
        assert set(IMPORT.findall(text)) <= texts.keys()


def test_styles_load_nothing() -> None:
    for name, content in contents().items():
        if name.endswith((".css", ".svg")):
            text = content.decode().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"url\(|@import|https?:", text), name
            assert len(text.splitlines()) <= LINES_MAX


def test_it_is_found_by_its_entry_point() -> None:
    registry = Registry()
    assert registry.load_hooks() == []
    brought = registry.hooks.fustor_assets()
    assert any(asset.path == "/" for several in brought for asset in several)


def test_a_file_of_an_unknown_kind_is_a_fault() -> None:
    with pytest.raises(KeyError):
        assets({FRONT: b"", "a.exe": b""})
