"""What a user can type, set or be told of is documented; generated pages are what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# The words of the program; each has one meaning and stands in the glossary.
WORDS = """
    source sink arbitrator view receiver hook pipe session leader follower epoch claim register
    origin batch pack suspect tombstone debt owed cell listing same owe root
    realtime snapshot audit sentinel on_demand
""".split()
PHRASES = ["observation interval", "blind spot", "dirty scope", "fusion time", "logical clock"]
MAPPED = {"SessionManager": "sessions"}


def load(path: Path) -> ModuleType:
    """A script of the house as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATE: Any = load(DOCS / "generate.py")


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading."""
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {
        head.strip().strip("`"): body for head, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def missing_commands(page: str) -> list[str]:
    documented = sections(page)
    missing = []
    for words, command in GENERATE.walk(GENERATE.program(), ("fustor",)):
        name = " ".join(words)
        if name not in documented or not (command.help or "").strip():
            missing.append(name)
            continue
        for option in GENERATE.options_of(command):
            long = option.opts[-1]
            if f"`{long}`" not in documented[name] or not (option.help or "").strip():
                missing.append(f"{name} {long}")
    return missing


def missing_hooks(page: str) -> list[str]:
    import inspect

    documented = sections(page)
    missing = []
    for name, member in GENERATE.specified_hooks().items():
        body = documented.get(name, "")
        if not body.strip():
            missing.append(name)
        described = set(re.findall(r"^- `([^`]+)`:", body, flags=re.MULTILINE))
        described = {word.strip() for names in described for word in names.split(",")}
        missing += [
            f"{name}({a})" for a in inspect.signature(member).parameters if a not in described
        ]
    return missing


def missing_settings(page: str) -> list[str]:
    documented = sections(page)
    missing = []
    for heading, _, settings in GENERATE.settings():
        body = documented.get(heading.strip("`"), "")
        for setting in settings:
            row = rf"^\| `{re.escape(setting.key)}` \| .+ \| .+ \| \S.* \|$"
            if not re.search(row, body, flags=re.MULTILINE):
                missing.append(f"{heading}: {setting.key}")
    return missing


def missing_words(page: str) -> list[str]:
    return [word for word in (*WORDS, *PHRASES) if f"**{word}**" not in page] + [
        there for there, here in MAPPED.items() if not re.search(rf"\| {there} \| {here}\b", page)
    ]


CHECKS = {
    "reference/commands.md": missing_commands,
    "reference/configuration.md": missing_settings,
    "reference/hooks.md": missing_hooks,
    "glossary.md": missing_words,
}


@pytest.mark.parametrize("page", CHECKS)
def test_nothing_is_left_undocumented(page: str) -> None:
    missing = CHECKS[page]((DOCS / page).read_text("utf-8"))
    assert not missing, f"not in docs/{page}:\n" + "\n".join(missing)


@pytest.mark.parametrize("page", CHECKS)
def test_what_is_left_out_is_found(page: str) -> None:
    """Each page, with one documented thing taken out, names just that."""
    text = (DOCS / page).read_text("utf-8")
    check = CHECKS[page]
    lines = text.splitlines(keepends=True)
    seen = set()
    for number, line in enumerate(lines):
        if line.startswith(("#", "|", "- `")):
            seen.update(
                set(check("".join(lines[:number] + lines[number + 1 :]))) - set(check(text))
            )
    assert len(seen) >= 3, f"taking lines out of docs/{page} was hardly noticed: {seen}"


@pytest.mark.parametrize("page", GENERATE.PAGES)
def test_generated_pages_are_what_the_code_says(page: str) -> None:
    written = (DOCS / "reference" / page).read_text("utf-8")
    assert written == GENERATE.PAGES[page](), "run: python docs/generate.py"


def test_every_page_is_in_the_navigation() -> None:
    """And nothing else is: a page that nobody reaches is not read."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"[\w/-]+\.md\b", navigation))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    broken = [link for link in links if not (page.parent / link).exists()]
    assert broken == []
