"""A library that is operated: a webserver and a daemon run on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from image_assets_tests.libraries import Library
from image_assets_tests.system.graphql import Server, running_instance


@dataclass(frozen=True)
class Operated:
    """What a person has who works with the UI.

    Attributes:
        library: Source and output, empty at first.
        server: Webserver, daemon and code location of an instance of its own.
    """

    library: Library
    server: Server


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A webserver and a daemon, for all tests of a module; both are gone afterwards."""
    folder = tmp_path_factory.mktemp("operated")
    library = Library.below(folder)
    variables = {
        "IMAGE_ASSETS_SOURCE": str(library.source),
        "IMAGE_ASSETS_OUTPUT": str(library.output),
    }
    with running_instance(folder, variables) as server:
        yield Operated(library, server)
