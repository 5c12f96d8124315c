"""The stand-in is consistent at once: the program need not wait for it."""

from collections.abc import Iterator

import pytest

from components.triton import model_access


@pytest.fixture(scope="session", autouse=True)
def _effective_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_access, "EFFECTIVE_SECONDS", 0)
        yield
