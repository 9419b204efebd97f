"""Rows of a projection matrix, made when they are needed from a seed, a name and a place.

P has one row per parameter and one column per projected number; the feature of a gradient g is P^T g. Every
function here gives the rows ``start`` to ``start + count`` of one parameter tensor.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from finetune_cot.gradients.counter_bits import random_words, shift_right

_WORD_BITS = 64


@dataclass(frozen=True)
class SparseRows:
    """Rows with a fixed number of non-zero entries each, all of one size."""

    columns: Int[Tensor, "entries rows"]
    signs: Float[Tensor, "entries rows"]
    """-1 or 1 over the square root of the number of entries: every row has norm one."""

    def add_projected(self, out: Float[Tensor, "samples proj"], grads: Float[Tensor, "samples rows"]) -> None:
        """Add ``grads @ rows`` to ``out``."""
        for columns, signs in zip(self.columns, self.signs, strict=True):
            out.index_add_(1, columns, grads * signs)

    def lifted(self, theta: Float[Tensor, " proj"]) -> Float[Tensor, " rows"]:
        """``rows @ theta``."""
        return (theta[self.columns] * self.signs).sum(dim=0)


def sparse_rows(key: int, start: int, count: int, dim: int, entries: int, device: torch.device) -> SparseRows:
    """Rows of a count-sketch (one entry) or of a sparse Johnson-Lindenstrauss transform (several).

    With several, the columns are cut into as many ranges, and each row has one entry in every range, the
    "block construction" of Kane and Nelson, "Sparser Johnson-Lindenstrauss Transforms", J. ACM 2014: entries
    of a row never meet, so that its norm is one exactly.
    """
    words = random_words(key, start * entries, count * entries, device).view(count, entries)
    bounds = torch.tensor([dim * entry // entries for entry in range(entries + 1)], device=device)
    # The upper 32 bits choose the column, by the multiplication that maps [0, 2^32) onto [0, size).
    columns = shift_right(words, 32).mul_(bounds.diff()) >> 32
    signs = (words & 1).float().mul_(2).sub_(1).div_(math.sqrt(entries))
    return SparseRows((columns + bounds[:-1]).T.contiguous(), signs.T.contiguous())


def rademacher_rows(
    key: int, start: int, count: int, dim: int, device: torch.device
) -> Float[Tensor, "rows proj"]:
    """Dense rows of -1 and 1 over the square root of ``dim``."""
    words_per_row = -(-dim // _WORD_BITS)
    words = random_words(key, start * words_per_row, count * words_per_row, device)
    eights = words.view(torch.uint8).long()
    signs = _signs_of_bytes(device).index_select(0, eights).view(count, words_per_row * _WORD_BITS)
    return signs[:, :dim] / math.sqrt(dim)


@lru_cache(maxsize=8)
def _signs_of_bytes(device: torch.device) -> Float[Tensor, "256 8"]:
    """The eight signs that each byte stands for."""
    places = torch.arange(8, device=device)
    bits = (torch.arange(256, device=device)[:, None] >> places) & 1
    return bits.float() * 2 - 1
