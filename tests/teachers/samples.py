"""Questions for teachers."""

from collections.abc import Iterable

from finetune_cot.tasks.sample import Sample
from finetune_cot.teachers.protocol import TeachRequest

ANN = Sample(7, "Ann has 3 apples and buys 4. How many?", "7", "sums", "3 + 4 = 7.")
BEN = Sample(9, "Ben has 2 figs. How many?", "2", "sums")


def requests(samples: Iterable[Sample] = (ANN,), completions: int = 1) -> list[TeachRequest]:
    """A request for each of the first completions of each sample."""
    return [TeachRequest(sample, index) for index in range(completions) for sample in samples]
