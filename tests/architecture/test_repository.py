"""What is in git: nothing of the machine it was written on, and dependencies by name and version only."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.~$@:}/-])/(?:root|work|home/\w+|Users/\w+)/|[A-Z]:\\Users\\")
PACKAGE_INDEX = re.compile(r"pythonhosted\.org|pypi\.org|npmjs\.(?:org|com)|yarnpkg\.com")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[0-9][0-9a-z.+]*)(?: ; (?P<marker>.+))?")


def tracked_texts() -> dict[str, str]:
    """Path -> text of every file in git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in listed.split("\0"):
        if (ROOT / name).is_file():
            texts[name] = (ROOT / name).read_bytes().decode(errors="replace")
    return texts


@pytest.mark.parametrize("forbidden", [MACHINE_PATH, PACKAGE_INDEX], ids=["machine path", "package index"])
def test_no_file_names_a_place_of_its_maker(forbidden: re.Pattern[str]) -> None:
    texts = tracked_texts()
    assert "pyproject.toml" in texts
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := forbidden.search(line))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["cd /ro" + "ot/x", 'p = "/ho' + 'me/ann/x"', "C:" + "\\Users\\ann"])
def test_a_machine_path_is_seen(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["azureml://datastores/a/paths/root/x", "data/home/ann/", "${HOME}/root/", "../root/x"]
)
def test_a_path_in_a_store_is_no_machine_path(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def test_links_between_pages_lead_somewhere() -> None:
    pages = {name: text for name, text in tracked_texts().items() if name.endswith(".md")}
    links = {
        (name, target.partition("#")[0])
        for name, text in pages.items()
        for target in re.findall(r"\]\((?!\w+:|#)([^)\s]+)\)", text)
    }
    assert ("docs/adding-a-datastore-type.md", "../tests/contract/rig.py") in links
    assert [link for link in sorted(links) if not (ROOT / link[0]).parent.joinpath(link[1]).exists()] == []


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 100
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_constraints_hold_every_requirement() -> None:
    """``make lock`` was run after the last change of a requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]:
        wanted += group
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        match = PIN.fullmatch(line)
        assert match
        pins.setdefault(match["name"], []).append(match["version"])
    for requirement in map(Requirement, wanted):
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, requirement
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), requirement
