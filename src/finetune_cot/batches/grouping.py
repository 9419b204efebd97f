"""Which samples share a batch: similar lengths, so that little is padding."""

from collections.abc import Sequence

import numpy as np

POOL = 50
"""Batches' worth of shuffled samples that are sorted by length together."""


def shuffled_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of one epoch, in random order, of samples that are random but alike in length.

    The samples are shuffled, cut into pools of `POOL` batches, sorted by length within a pool, and the
    batches are shuffled: the same for the same seed and epoch, different between epochs.

    Args:
        lengths: Tokens of each sample.
        batch_size: Samples of a batch; the last one may be smaller.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.

    Returns:
        Positions of the samples of each batch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths)).tolist()
    pool = POOL * batch_size
    ordered: list[int] = []
    for start in range(0, len(order), pool):
        ordered += sorted(order[start : start + pool], key=lambda position: lengths[position])
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    return [batches[position] for position in random.permutation(len(batches)).tolist()]


def sorted_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of a pass in any order: longest first, so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
