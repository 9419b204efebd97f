"""What the C library keeps of freed memory: glibc's heap, in which most tensors of a CPU lie."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_LARGEST = 32 * 2**20
"""Bytes that glibc's own threshold grows to; larger tensors are always given back when they are freed."""


def is_kept() -> bool:
    """Whether freed memory stays with this process: glibc has it, and no setting or other library."""
    other = "malloc" in os.environ.get("LD_PRELOAD", "") or "MALLOC_MMAP_THRESHOLD_" in os.environ
    return platform.libc_ver()[0] == "glibc" and not other


def give_back() -> None:
    """Give freed memory back to the system, where the C library is glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def given_back_at_once() -> Iterator[None]:
    """Have freed memory given back at once, which costs time: for what loading holds for a moment."""
    if not is_kept():
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_THRESHOLD, 2**17)
    try:
        yield
    finally:
        # What glibc itself comes to, once large tensors were freed.
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
