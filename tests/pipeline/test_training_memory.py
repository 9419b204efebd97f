"""What `train` says of memory before it begins."""

import pytest

from finetune_cot.pipeline import training_memory
from finetune_cot.pipeline.training_memory import memory_line, program_memory
from finetune_cot.training.memory import MemoryEstimate

GIB = 2**30
ESTIMATE = MemoryEstimate(
    program=GIB,
    weights=4 * GIB,
    gradients=0,
    optimizer=0,
    activations=2 * GIB,
    gaps=GIB,
    total=8 * GIB,
    trainable_parameters=10,
    parameters=2000,
    batch_tokens=64,
)


@pytest.mark.parametrize(("free", "loaded", "enough"), [(8, False, True), (6, False, False), (6, True, True)])
def test_too_little_memory_is_told(
    free: int, loaded: bool, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_memory, "free_memory", lambda: free * GIB)
    line = memory_line(ESTIMATE, "cpu", loaded=loaded)
    assert line.startswith(
        "10 of 2,000 parameters are trained; about 8.00 GiB of memory at the peak (program 1.00 GiB,"
        " weights 4.00 GiB, activations of 64 tokens 2.00 GiB, gaps 1.00 GiB)"
    )
    assert ("--gradient-checkpointing" in line) is not enough


def test_the_program_is_counted_on_a_cpu_alone() -> None:
    assert program_memory("cuda:0") == 0
    assert program_memory("cpu") == 0 or program_memory("cpu") > 2**26
