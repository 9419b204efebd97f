"""Every sample once, under the budget, with little padding."""

from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.batches.budget import PADDING, BudgetBatches, budget_batches
from finetune_cot.batches.encoding import EncodedExample

decoder_lengths = st.lists(st.tuples(st.integers(1, 600), st.just(0)), max_size=80)
both_lengths = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=80)


def processed(lengths: list[tuple[int, int]], batch: list[int]) -> int:
    return len(batch) * (max(lengths[i][0] for i in batch) + max(lengths[i][1] for i in batch))


@given(decoder_lengths | both_lengths, st.integers(1, 2000))
def test_every_sample_is_in_one_batch_under_the_budget(
    lengths: list[tuple[int, int]], max_tokens: int
) -> None:
    batches = budget_batches(lengths, max_tokens)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or processed(lengths, batch) <= max_tokens for batch in batches)


@given(decoder_lengths | both_lengths)
def test_padding_is_bounded_in_every_batch(lengths: list[tuple[int, int]]) -> None:
    for batch in budget_batches(lengths, 4096):
        assert processed(lengths, batch) <= PADDING * sum(sum(lengths[position]) for position in batch)


def test_equal_lengths_fill_the_budget() -> None:
    assert budget_batches([(10, 0)] * 7, 30) == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_longest_come_first_and_one_too_long_is_alone() -> None:
    assert budget_batches([(9, 0), (100, 0), (10, 0), (10, 0)], 50) == [[1], [2, 3, 0]]


def test_both_sides_of_an_encoder_decoder_count() -> None:
    assert budget_batches([(10, 5), (10, 5), (10, 5)], 30) == [[0, 1], [2]]


def test_batches_are_collated() -> None:
    examples = [
        EncodedExample(index, "t", (1,) * length, (1,) * length) for index, length in enumerate((3, 9))
    ]
    batches = BudgetBatches(examples, 100, pad_token_id=0)
    assert len(batches) == 2
    assert [batch.sample_indices for batch in batches] == [(1,), (0,)]
    assert batches.positions == [[1], [0]]
