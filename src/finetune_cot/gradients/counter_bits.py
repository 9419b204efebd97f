"""Random bits that are a function of a seed, a name and a counter, and so need not be stored.

The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) read at any place: word ``i`` is a bijective
mix of ``key + i * golden ratio``. Whole numbers are the same on every device, unlike torch's generators.
"""

import hashlib

import torch
from jaxtyping import Int
from torch import Tensor

_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31


def stream_key(seed: int, name: str) -> int:
    """Where the stream of a name begins: 64 bits of a SHA-256, so that no two streams meet in practice."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def random_words(key: int, start: int, count: int, device: torch.device) -> Int[Tensor, " count"]:
    """Words ``start`` to ``start + count`` of a stream, 64 random bits each, as int64.

    Args:
        key: The stream, of `stream_key`.
        start: Place of the first word.
        count: How many.
        device: Where to compute them; the bits are the same everywhere.
    """
    words = torch.arange(start, start + count, dtype=torch.int64, device=device)
    words.mul_(_signed(_STEP)).add_(_signed(key))
    for shift, factor in _MIX:
        words ^= shift_right(words, shift)
        words *= _signed(factor)
    words ^= shift_right(words, _LAST_SHIFT)
    return words


def shift_right(words: Int[Tensor, " count"], bits: int) -> Int[Tensor, " count"]:
    """Shift as if the words were unsigned: zeros come in from the left."""
    return (words >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    """The same 64 bits as torch's only whole number of 64 bits knows them."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word
