"""What the C library keeps of freed memory."""

import platform

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


def test_memory_can_be_given_back_anywhere() -> None:
    give_back()
    with given_back_at_once():
        pass
