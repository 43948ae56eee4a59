"""The page as people use it: who gets in, what they see at once, and that names stay names."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, expect

pytestmark = pytest.mark.browser

PARTS = ["overview", "flow", "files", "jobs", "machines", "machines/session", "search?q=part"]
expect.set_options(timeout=30_000)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Something that appends to a file, as long as the block lasts."""
    over = threading.Event()

    def write() -> None:
        with path.open("ab") as file:
            while not over.wait(0.2):
                file.write(b"x" * 50_000)
                file.flush()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ------------------------------------------------------------------ who gets in


def test_the_link_that_up_prints_lets_in_once(program: Any, pages: Any) -> None:
    first = pages()
    first.goto(program.page)
    expect(first.locator(".link.live")).to_be_visible()
    assert first.url.rstrip("/") == program.url, "the code is gone from the address"
    second = pages()
    second.goto(program.page)
    expect(second.get_by_role("alert")).to_contain_text("used up")
    link = program.told("key", "link")
    assert link.startswith(program.url)
    second.goto("about:blank")
    second.goto(link)
    expect(second.locator(".link.live")).to_be_visible()


def test_a_key_is_pasted_and_kept_for_the_tab(program: Any, pages: Any) -> None:
    page = pages()
    page.goto(program.url)
    page.get_by_label("Paste a key").fill("fst_wrong_" + "x" * 43)
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_contain_text("not good here")
    page.get_by_label("Paste a key").fill(program.key)
    page.keyboard.press("Enter")
    expect(page.locator(".link.live")).to_be_visible()
    page.reload()
    expect(page.locator(".link.live")).to_be_visible()
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_label("Paste a key")).to_be_visible()
    assert (
        page.evaluate("Object.keys(sessionStorage).length + Object.keys(localStorage).length") == 0
    )


def test_a_key_that_is_revoked_shuts_the_page(program: Any, pages: Any) -> None:
    key = program.told("key", "create")
    page = pages(key)
    program.told("key", "revoke", key.split("_")[1])
    expect(page.get_by_role("alert")).to_contain_text("not good here")
    expect(page.get_by_label("Paste a key")).to_be_visible()


# ------------------------------------------------------------------ what is seen


def test_a_newcomer_sees_which_directory_is_written_and_why(program: Any, pages: Any) -> None:
    page = pages(program.key)
    with writing(program.tree / "results" / "run-42" / "out-0007.bin"):
        row = page.locator(".written li.active", has_text="/results/run-42")
        expect(row).to_contain_text("out-0007.bin")
        expect(row).to_contain_text(re.compile("was (written|created) .*ago|just now"))
        expect(row.locator(".rate")).to_have_text(re.compile(r"\+.*/s"))
        expect(page.locator("h1")).to_contain_text("being written")
        row.get_by_role("link", name="/results/run-42", exact=True).click()
        expect(page.locator(".answer")).to_have_text("no")
        expect(page.locator(".reasons")).to_contain_text("out-0007.bin")
        expect(page.locator(".treemap .warm0")).not_to_have_count(0)


def test_the_state_of_a_pipe_is_seen_as_it_changes(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.keyboard.press("2")
    expect(page.locator(".lamp.message_phase.lit")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".lamp.paused.lit")).to_be_visible()
    page.goto(f"{program.url}/#/machines/pipeline")
    expect(page.locator(".region.lit", has_text="PAUSED")).to_contain_text("projects")
    program.told("pipe", "resume", "projects")
    expect(page.locator(".region.lit", has_text="MESSAGE_PHASE")).to_contain_text("projects")
    page.goto(f"{program.url}/#/machines/session")
    expect(page.locator(".state.lit")).to_contain_text("ACTIVE")
    page.goto(f"{program.url}/#/machines/leadership")
    expect(page.locator(".state.lit")).to_contain_text("LEADING")
    page.goto(f"{program.url}/#/machines/node")
    snapshot = page.locator(".standing tr", has_text="snapshot_projects")
    expect(snapshot).to_contain_text("SUCCEEDED")
    expect(page.locator(".state.lit", has_text="EXECUTING")).to_be_visible()
    page.goto(f"{program.url}/#/machines/run")
    expect(page.locator("main h1")).to_have_text("Run")
    expect(page.locator(".state.lit")).to_contain_text("EXECUTION")


def test_pipes_sessions_and_views_hang_together(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.goto(f"{program.url}/#/flow")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("path.edge")).to_have_count(2)
    page.locator(".head").get_by_role("link", name="Overview").click()
    expect(page.locator(".view")).to_contain_text("projects")


def test_a_directory_is_looked_at_again_on_request(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.goto(f"{program.url}/#/files/projects?path=/notes")
    page.get_by_role("button", name="Look again now").click()
    page.goto(f"{program.url}/#/jobs")
    expect(page.locator(".jobs li", has_text="/notes").first).to_contain_text("completed")


def test_what_can_be_done_with_keys_alone(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.keyboard.press("/")
    page.keyboard.type("part-0001")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("1 match for")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".crumbs [aria-current]")).to_have_text("part-0001.bin")
    page.keyboard.press("Backspace")
    expect(page.locator(".crumbs [aria-current]")).to_have_text("run-41")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


# ------------------------------------------------------------------ names


def test_names_are_text_and_never_markup(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.goto(f"{program.url}/#/files/projects?path=/notes")
    expect(page.locator(".entries")).to_contain_text("<img src=x onerror=alert(1)>.txt")
    page.goto(f"{program.url}/#/files/projects?path=/")
    page.locator(".entries").get_by_role("link", name="<script>alert(1)<").click()
    expect(page.locator(".crumbs")).to_contain_text("<script>alert(1)<")
    expect(page.locator(".entries")).to_contain_text("script>")
    page.goto(f"{program.url}/#/search?q=alert")
    expect(page.locator("main")).to_contain_text("<script>alert(1)<")
    assert page.locator("img, body script").count() == 0


def test_a_name_that_is_no_text_is_shown_and_can_be_opened(program: Any, pages: Any) -> None:
    page = pages(program.key)
    page.goto(f"{program.url}/#/files/projects?path=/")
    page.locator(".entries").get_by_role("link", name="caf\\xe9").click()
    expect(page.locator(".crumbs [aria-current]")).to_have_text("caf\\xe9")
    page.locator(".entries").get_by_role("link", name="r\\xe9sum\\xe9.txt").click()
    expect(page.locator("aside dl")).to_contain_text("500 bytes")


def test_a_name_cannot_turn_text_around_or_hide(program: Any, pages: Any) -> None:
    name = "invoice\u202efdp.exe\n\u200b"
    (program.tree / "notes" / name).write_text("")
    page = pages(program.key)
    page.goto(f"{program.url}/#/files/projects?path=/notes")
    expect(page.locator(".entries")).to_contain_text("invoice\\u{202e}fdp.exe\\u{a}\\u{200b}")
    os.unlink(program.tree / "notes" / name)


# ------------------------------------------------------------------ everywhere


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_on_a_phone_in_both_themes(program: Any, pages: Any, theme: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = pages(program.key, color_scheme=theme, **phone)
    for part in PARTS:
        page.goto(f"{program.url}/#/{part}")
        expect(page.locator("main h1").first).to_be_visible()
        wide = "document.scrollingElement.scrollWidth - innerWidth"
        assert page.evaluate(wide) <= 0, f"{part} is wider than the phone"
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", paper)))
    assert (lightness < 200) is (theme == "dark"), paper


def test_the_policy_forbids_what_does_not_belong_to_the_page(program: Any, chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(program.url)
    expect(page.get_by_label("Paste a key")).to_be_visible()
    with pytest.raises(Error, match="Trusted"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://127.0.0.1:9/')")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('style'),"
        " {textContent: 'body { opacity: 0.5 }'}))"
    )
    assert page.evaluate("getComputedStyle(document.body).opacity") == "1"
    context.close()


def test_nothing_comes_from_elsewhere_and_nothing_says_the_key(program: Any, pages: Any) -> None:
    page = pages(program.key)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws:", "http:")))
    for part in PARTS:
        page.goto(f"{program.url}/#/{part}")
        expect(page.locator("main h1").first).to_be_visible()
    page.reload()
    expect(page.locator(".link.live")).to_be_visible()
    assert asked
    assert all(url.startswith(f"{program.url}/") for url in asked)
    assert not [url for url in asked if program.key in url]


def test_it_says_when_the_server_is_gone_and_comes_back_with_it(program: Any, pages: Any) -> None:
    key = program.told("key", "create", "--scope", "read,scan")  # one that outlives a restart
    page = pages(key)
    port = program.port
    program.stop()
    expect(page.get_by_role("alert")).to_contain_text("Not connected")
    expect(page.locator(".view")).to_contain_text("projects")
    program.start(port)
    expect(page.locator(".link.live")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
