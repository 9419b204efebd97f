"""Marks of tests by whether the adapters library is there, which wants an environment of its own."""

from importlib.metadata import PackageNotFoundError, version

import pytest


def _is_installed() -> bool:
    try:
        return bool(version("adapters"))
    except PackageNotFoundError:
        return False


with_adapters = pytest.mark.skipif(not _is_installed(), reason="needs the environment of [adapters]")
without_adapters = pytest.mark.skipif(_is_installed(), reason="the adapters library is here")
