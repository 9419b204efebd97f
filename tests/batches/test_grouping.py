"""Which samples share a batch."""

from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.batches.grouping import POOL, shuffled_batches, sorted_batches

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=120)
sizes = st.integers(1, 9)


@given(lengths, sizes, st.integers(0, 5), st.integers(0, 5))
def test_every_sample_comes_once_an_epoch(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    batches = shuffled_batches(lengths, size, seed, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // size)
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)


@given(lengths, sizes)
def test_dev_batches_are_whole_and_longest_first(lengths: list[int], size: int) -> None:
    order = [index for batch in sorted_batches(lengths, size) for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = list(range(100))
    first = shuffled_batches(lengths, 8, 0, 0)
    assert first == shuffled_batches(lengths, 8, 0, 0)
    assert first != shuffled_batches(lengths, 8, 0, 1)
    assert first != shuffled_batches(lengths, 8, 1, 0)


def test_little_is_padding() -> None:
    lengths = [(position * 37) % 200 + 1 for position in range(8 * POOL)]
    batches = shuffled_batches(lengths, 8, 0, 0)
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.05 * sum(lengths)
