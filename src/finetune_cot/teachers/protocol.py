"""What a teacher is: something that answers requests by a recipe, batch after batch."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from finetune_cot.artifacts.completions import Completion
from finetune_cot.tasks.sample import Sample
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage


@dataclass(frozen=True)
class Recipe:
    """How completions are asked for; the same for every question of a file."""

    template: str
    """Prompt template: zs, zs_cot, fs_cot, or an ft_* template of a fine-tuned model."""
    temperature: float = 0.0
    """0 is greedy."""
    max_reasoning_tokens: int = 128
    """New tokens of the rationale; of the whole answer where there is one step."""
    max_answer_tokens: int = 32
    """New tokens of the second step of zs_cot."""
    chat: bool = False
    """Whether the prompts are chat messages."""
    few_shot: Mapping[str, str] = field(default_factory=dict)
    """Few-shot prompt of each task, for fs_cot."""
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Texts at which a completion ends, besides those of the template."""


@dataclass(frozen=True)
class TeachRequest:
    """One completion to be written."""

    sample: Sample
    completion_index: int

    @property
    def key(self) -> tuple[int, int]:
        """Sample index and completion index."""
        return self.sample.sample_index, self.completion_index


@dataclass(frozen=True)
class Failure:
    """A request that got no completion, and why."""

    key: tuple[int, int]
    reason: str
    usage: TokenUsage = NO_TOKENS
    """Tokens that were counted all the same."""
    asked: bool = True
    """False where the teacher was not asked."""


class Teacher(Protocol):
    """A local model, a server, or the rationales of a data set."""

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done, in any order, some at a time.

        A teacher whose answers depend on what else is in a batch forms its batches over all requests, also
        those that are done, so that a resumed run gives what an uninterrupted one would have given.

        Raises:
            TeacherError: nothing more can be had from this teacher.
        """
        ...
