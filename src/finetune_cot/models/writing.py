"""Safetensors written so that a full disk is told as such."""

import contextlib
import errno
import os
from collections.abc import Iterator


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what safetensors says of the disk as the system's error, which `artifacts.files` puts in words.

    Raises:
        OSError: the disk is full, or cannot be written to.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        number = errno.ENOSPC if f"os error {errno.ENOSPC}" in str(error) else errno.EIO
        raise OSError(number, os.strerror(number)) from error
