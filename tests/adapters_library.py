"""Whether the adapters library is there, which wants an environment of its own, and marks of tests by it."""

from importlib.metadata import PackageNotFoundError, version

import pytest


def has_adapters() -> bool:
    """By its files: once it was imported, it has no spec that could be found."""
    try:
        return bool(version("adapters"))
    except PackageNotFoundError:
        return False


with_adapters = pytest.mark.skipif(not has_adapters(), reason="needs the environment of [adapters]")
without_adapters = pytest.mark.skipif(has_adapters(), reason="the adapters library is here")
