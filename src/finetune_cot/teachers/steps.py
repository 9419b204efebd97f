"""The steps of a completion, and the record that they make."""

from dataclasses import dataclass

from finetune_cot.artifacts.completions import Completion
from finetune_cot.teachers.protocol import TeachRequest


@dataclass(frozen=True)
class Step:
    """One prompt and what was written after it."""

    prompt: str
    text: str
    finish_reason: str | None
    prompt_tokens: int = 0
    """0 where they were not counted."""
    completion_tokens: int = 0
    """0 where they were not counted."""


def completion_of(request: TeachRequest, *steps: Step) -> Completion:
    """The record of one step, or of two: the reasoning, then the answer.

    Token counts are summed over the steps, and left out where none were counted.
    """
    sample, answer = request.sample, steps[-1]
    reasoning = steps[0] if len(steps) > 1 else None
    counts = {
        "prompt_tokens": sum(step.prompt_tokens for step in steps),
        "completion_tokens": sum(step.completion_tokens for step in steps),
    }
    return Completion(
        sample_index=sample.sample_index,
        completion_index=request.completion_index,
        question=sample.question,
        answer=sample.answer,
        prompt=answer.prompt,
        completion=answer.text,
        reasoning_prompt=reasoning.prompt if reasoning else None,
        reasoning_completion=reasoning.text if reasoning else None,
        finish_reason=answer.finish_reason,
        reasoning_finish_reason=reasoning.finish_reason if reasoning else None,
        extra=counts if any(counts.values()) else {},
    )
