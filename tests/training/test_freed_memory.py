"""What the C library keeps of freed memory."""

import os
import platform
from pathlib import Path

import pytest

from finetune_cot.training.freed_memory import give_back, given_back_at_once, is_kept


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_the_environment_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    assert is_kept()
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4")
    assert not is_kept()
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libother.so")
    assert is_kept()
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    assert not is_kept()


@pytest.mark.skipif(not is_kept(), reason="another allocator")
def test_freed_memory_is_given_back_at_once() -> None:
    with given_back_at_once():
        before = resident()
        blocks = [bytearray(2**20) for _ in range(200)]
        for block in blocks:
            block[:] = b"x" * len(block)
        assert resident() - before > 150 * 2**20
        del blocks, block
        assert resident() - before < 50 * 2**20


@pytest.mark.skipif(not is_kept(), reason="another allocator")
def test_what_was_kept_is_given_back() -> None:
    blocks = [bytearray(b"x" * 2**16) for _ in range(4000)]
    last = bytearray(2**16)  # what is freed below it stays with the process
    full = resident()
    del blocks
    give_back()
    assert full - resident() > 150 * 2**20
    assert len(last) == 2**16


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
