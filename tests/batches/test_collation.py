"""Padded tensors, and batches whose position can be saved."""

from itertools import islice

import torch

from finetune_cot.batches.collation import Batch, Part, ShuffledBatches, SortedBatches, collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample

SHORT = EncodedExample(11, "a", (5, 6), (IGNORED, 6))
LONG = EncodedExample(12, "b", (7, 8, 9), (IGNORED, 8, 9))


def examples(count: int) -> list[EncodedExample]:
    return [
        EncodedExample(index, "t", tuple(range(1, 3 + index % 5)), (IGNORED, *range(2, 3 + index % 5)))
        for index in range(count)
    ]


def indices(batches: list[Batch]) -> list[tuple[int, ...]]:
    return [batch.sample_indices for batch in batches]


def test_collation_by_hand() -> None:
    batch = collate([SHORT, LONG], pad_token_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 0], [7, 8, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.labels.tolist() == [[IGNORED, 6, IGNORED], [IGNORED, 8, 9]]
    assert (batch.tasks, batch.sample_indices, batch.step_label_tokens) == (("a", "b"), (11, 12), 3)
    assert batch.to(torch.device("cpu")).labels.tolist() == batch.labels.tolist()


def test_epochs_follow_each_other_and_differ() -> None:
    batches = ShuffledBatches(examples(20), 3, 0, seed=0)
    first, second = indices(list(batches)), indices(list(batches))
    assert len(first) == len(second) == len(batches) == 7
    assert first != second
    assert sorted(index for batch in second for index in batch) == list(range(20))


def test_an_epoch_may_end_without_being_exhausted() -> None:
    """Lightning knows the length, and never asks for the batch after the last."""
    plain, counted = (ShuffledBatches(examples(20), 3, 0, seed=0) for _ in range(2))
    expected = [indices(list(plain)) for _ in range(3)]
    assert [indices(list(islice(iter(counted), 7))) for _ in range(3)] == expected


def test_a_saved_position_goes_on_with_the_next_batch() -> None:
    whole = ShuffledBatches(examples(20), 3, 0, seed=0)
    expected = indices([batch for _ in range(3) for batch in whole])
    for stop in range(21):
        begun, resumed = (ShuffledBatches(examples(20), 3, 0, seed=0) for _ in range(2))
        given = indices(list(islice((batch for _ in range(3) for batch in begun), stop)))
        resumed.load_state_dict(begun.state_dict())
        rest = indices([batch for _ in range(3 - stop // 7) for batch in resumed])
        assert given + rest == expected


def test_a_step_counts_the_label_tokens_of_all_its_batches() -> None:
    data = examples(20)
    batches = list(ShuffledBatches(data, 3, 0, seed=0, accumulate=3))
    tokens = [int((batch.labels != IGNORED).sum()) for batch in batches]
    sums = [sum(tokens[:3]), sum(tokens[3:6]), tokens[6]]
    assert [batch.step_label_tokens for batch in batches] == [sums[position // 3] for position in range(7)]


def test_dev_batches_hold_every_sample() -> None:
    batches = SortedBatches(examples(10), 4, 0)
    assert len(batches) == 3
    assert sorted(index for batch in batches for index in batch.sample_indices) == list(range(10))


def test_parts_of_shuffled_batches_make_up_the_whole_ones() -> None:
    whole = list(ShuffledBatches(examples(19), 6, 0, seed=0, accumulate=2))
    for world in (1, 2, 5, 8):
        parts = [
            list(ShuffledBatches(examples(19), 6, 0, 0, accumulate=2, part=Part(rank, world)))
            for rank in range(world)
        ]
        for batch, *shares in zip(whole, *parts, strict=True):
            given = [index for share in shares for index in share.sample_indices]
            assert sorted(given) == sorted(batch.sample_indices)
            assert {share.step_label_tokens for share in shares} == {batch.step_label_tokens}
            assert all(share.is_filler == (not share.sample_indices) for share in shares)
            assert all(len(share.input_ids) for share in shares)


def test_every_part_of_a_pass_has_as_many_batches_and_no_sample_twice() -> None:
    for samples in (1, 4, 7, 20):
        for world in (1, 2, 3, 8):
            parts = [SortedBatches(examples(samples), 3, 0, Part(rank, world)) for rank in range(world)]
            given = [list(part) for part in parts]
            assert {len(part) for part in parts} == {len(batches) for batches in given} == {len(parts[0])}
            indices = [index for batches in given for batch in batches for index in batch.sample_indices]
            assert sorted(indices) == list(range(samples))
