"""The documents are promises: their links lead somewhere, their commands exist, their figures come from reports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pipeline.__main__ import cli
from pipeline.registry import names
from reports import markdown
from reports.document import load
from reports.excerpt import filled

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "reports" / "published").glob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {name for path in DOCUMENTS[:3] for name in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", path.read_text(), re.MULTILINE)}
    assert named
    assert named <= targets


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"\./edgepress ([a-z]+)", README))
    assert named
    assert named <= set(cli.commands)


def test_every_option_that_is_named_exists() -> None:
    known = {option for command in cli.commands.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"\./edgepress[^\n`]*?(--[a-z-]+)", README)) <= known


def test_the_tables_are_those_of_the_published_reports() -> None:
    assert filled(README, ROOT) == README
    assert README.count("<!-- table:") >= 1


@pytest.mark.parametrize("path", sorted((ROOT / "reports" / "published").glob("*.json")), ids=lambda path: path.stem)
def test_what_is_published_says_what_was_measured(path: Path) -> None:
    assert path.with_suffix(".md").read_text() == markdown.render(load(path))


@pytest.mark.parametrize("kind", ["model", "data", "technique", "format", "target"])
def test_what_there_is_is_listed(kind: str) -> None:
    assert [name for name in names(kind) if f"`{name}`" not in README] == []


def test_make_help_lists_every_public_target() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    public = re.findall(r"^([a-z-]+):[^=\n]*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in public if f"make {name} " not in listed] == []
