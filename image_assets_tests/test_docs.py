"""What the documents name is there: tests, kinds of pictures, files that they link to."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from image_assets_tests.engine.pixels.test_right_pixels import KINDS
from image_assets_tests.processes import REPOSITORY

DOCUMENTS: Final = tuple(
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "bench/*.md", "docs/**/*.md")
    for path in sorted(REPOSITORY.glob(pattern))
)
TEST_FILES: Final = tuple(
    path.relative_to(REPOSITORY).as_posix()
    for path in sorted((REPOSITORY / "image_assets_tests").rglob("*.py"))
)
ANY_LENGTH: Final = "…"


def _functions(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in found if name.startswith("test_")}


TESTS: Final = {path: _functions(path) for path in TEST_FILES}


def _wrong(text: str) -> Iterator[str]:
    """What a document quotes of tests and is not there, by the ways in which they are quoted."""
    file: list[str] = []
    for quoted in re.findall(r"`([^`\n]+)`", text):
        for word in quoted.split():
            path, colons, name = word.rpartition("::")
            if not colons and re.fullmatch(r"[\w/.-]*\.py", word) and "test" in word:
                path, name = word, ""
            if path and path != ANY_LENGTH:
                file = [f for f in TEST_FILES if f"/{f}".endswith(f"/{path.removeprefix('./')}")]
                if not file:
                    yield f"{word}: no such file"
            if not colons and not re.fullmatch(r"test_\w+…?|\w+_\w+_\w+…", name):
                continue
            name = name.partition("[")[0]
            name = name if name.startswith("test_") else f"test_{name}"
            places = file if colons else TEST_FILES
            pattern = name.replace(ANY_LENGTH, "*")
            if not any(fnmatchcase(test, pattern) for path in places for test in TESTS[path]):
                yield f"{word}: no such test in {', '.join(places) if colons else 'any file'}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_test_that_a_document_names_exists(document: str) -> None:
    assert list(_wrong((REPOSITORY / document).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "`test_that_nobody_wrote`",
        "`a_moving_picture_that_nobody_wrote…`",
        "`test_nowhere.py`",
        "`engine/test_fuzz.py`",
        "`test_upright.py::test_that_nobody_wrote`",
        "`test_upright.py::test_an_untagged_image_is_taken_as_srgb`, which is another file's",
        "`test_colour.py::test_an_untagged_image_is_taken_as_srgb`, `…::test_that_nobody_wrote`",
    ],
)
def test_a_name_that_is_wrong_is_seen(text: str) -> None:
    assert len(list(_wrong(text))) == 1


def test_a_kind_of_picture_that_the_policy_names_is_a_case() -> None:
    policy = (REPOSITORY / "docs" / "image-policy.md").read_text(encoding="utf-8")
    lists = re.findall(r"\bkinds? ((?:`[^`\n]+`(?:, )?)+)", policy)
    named = [kind for words in lists for kind in re.findall(r"`([^`]+)`", words)]
    assert len(named) > 30, "they are found"
    patterns = [re.sub(f" ?{ANY_LENGTH}", "*", kind) for kind in named if ".py" not in kind]
    assert [p for p in patterns if not any(fnmatchcase(kind, p) for kind in KINDS)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_a_document_links_to_exists(document: str) -> None:
    path = REPOSITORY / document
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not Path(path.parent, link).exists()] == []
