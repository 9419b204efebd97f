"""The steps of a completion, and the record that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_cot.artifacts.completions import Completion
from finetune_cot.teachers.protocol import TeachRequest
from finetune_cot.teachers.replies import Choice
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage, total

BY_BATCH = "by_batch"
"""Mark of a completion that a batch brought, which is paid for with the batch."""


@dataclass(frozen=True)
class Step:
    """One prompt and what was written after it."""

    prompt: str
    text: str
    finish_reason: str | None
    usage: TokenUsage = NO_TOKENS
    """Tokens, where they were counted."""
    hidden_reasoning: str | None = None
    """What a reasoning model thought before it wrote."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What a server was sent besides the model and the prompt."""


def step_of_choice(prompt: str, choice: Choice, usage: TokenUsage, parameters: Mapping[str, Any]) -> Step:
    """The step that a server's choice is.

    Args:
        prompt: As it is recorded.
        choice: What was written.
        usage: Its tokens.
        parameters: What was sent besides the model and the prompt.
    """
    return Step(prompt, choice.text, choice.finish_reason, usage, choice.hidden_reasoning, parameters)


def completion_of(request: TeachRequest, *steps: Step) -> Completion:
    """The record of one step, or of two: the reasoning, then the answer.

    Token counts are summed over the steps; what is not known is left out.
    """
    sample, answer = request.sample, steps[-1]
    reasoning = steps[0] if len(steps) > 1 else None
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
        extra=_extra(total(step.usage for step in steps), steps),
    )


def tokens_of(completion: Completion) -> TokenUsage:
    """Tokens that a completion took, as its file tells."""
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return TokenUsage(*(completion.extra.get(name, 0) for name in names))


def _extra(usage: TokenUsage, steps: Sequence[Step]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if usage.prompt or usage.completion:
        known = {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
    if usage.cached:
        known["cached_tokens"] = usage.cached
    if usage.reasoning:
        known["reasoning_tokens"] = usage.reasoning
    for prefix, step in zip(("", "answer_"), steps, strict=False):
        if step.hidden_reasoning:
            known[f"{prefix}reasoning_content"] = step.hidden_reasoning
        if step.parameters:
            known[f"{prefix}parameters"] = dict(step.parameters)
    return known
