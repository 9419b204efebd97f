"""Data sets of the Hugging Face hub."""

import contextlib
from collections.abc import Iterator
from typing import Any

from finetune_cot.errors import DataError

TIMEOUT = 10
"""Seconds until the hub counts as out of reach."""


def load_hub_rows(name: str, split: str = "train") -> list[dict[str, Any]]:
    """Rows of a data set, from the hub or, where that is out of reach, from the local cache.

    Args:
        name: Name on the hub, with ``:configuration`` where it has several; or a folder of its files.
        split: Its part.

    Raises:
        DataError: it is neither on the hub nor in the cache, may not be read, or has no such part.
    """
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    path, _, configuration = name.partition(":")
    try:
        with _offline_unless_reachable():
            rows = datasets.load_dataset(path, configuration or None, split=split)
    except (OSError, ValueError, HfHubHTTPError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"is no file, and no data set in the local cache or on the Hugging Face hub: {reason}",
            where=name,
            remedy="check the name, go online, or log in with `hf auth login` for a private one",
        ) from None
    return list(rows)


@contextlib.contextmanager
def _offline_unless_reachable() -> Iterator[None]:
    """Keep `datasets` from knocking half a minute at a hub that is out of reach before it looks in its cache.

    It has no option for that, and the environment variable is read only once, on import.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(address: str) -> bool:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(address, method="HEAD"), timeout=TIMEOUT).close()
    except HTTPError:
        return True  # an answer all the same
    except OSError:
        return False
    return True
