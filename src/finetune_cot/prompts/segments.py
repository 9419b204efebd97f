"""A training sample as text: pieces in order, each with or without loss."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """A piece of a training sample."""

    text: str
    labelled: bool
    """Whether the model is to learn to write it."""
