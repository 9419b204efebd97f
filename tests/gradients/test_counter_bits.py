"""Bits are those of the published generator, wherever reading begins."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.gradients.counter_bits import random_words, shift_right, stream_key

CPU = torch.device("cpu")
WORD = (1 << 64) - 1


def test_words_are_those_of_splitmix64() -> None:
    # The first outputs of the reference implementation from the state 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [word & WORD for word in random_words(1234567, 1, 3, CPU).tolist()] == expected


@given(key=st.integers(0, WORD), start=st.integers(0, 1 << 40), skip=st.integers(0, 20))
def test_a_word_depends_on_its_place_alone(key: int, start: int, skip: int) -> None:
    whole = random_words(key, start, 21, CPU)
    assert torch.equal(random_words(key, start + skip, 1, CPU), whole[skip : skip + 1])


@given(word=st.integers(0, WORD), bits=st.integers(1, 63))
def test_zeros_are_shifted_in(word: int, bits: int) -> None:
    signed = word - (1 << 64) if word >> 63 else word
    assert shift_right(torch.tensor([signed]), bits).item() == word >> bits


def test_streams_stay_what_they_were() -> None:
    assert stream_key(0, "a") != stream_key(1, "a") != stream_key(0, "b")
    # Stores that were made earlier are read by these.
    assert stream_key(0, "layers.0.lora_A.weight") == 4071338761585643325
