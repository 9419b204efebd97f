"""The rationales that a data set brings along, as if a teacher had written them.

They need no model: their base model is called ``rationale``, whatever ``--model-key`` says. The rationale
becomes the reasoning, without gsm8k's ``<<...>>`` marks, and the right answer is put where the template looks
for it.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.prompts.templates import answer_prefixes, answer_prompt, is_two_step, prompt_text
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.steps import Step, completion_of

BASE_MODEL = "rationale"
"""Takes the base model's place in the completion file's path."""

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_BATCH = 1000


class RationaleTeacher:
    """Gives the data set's own rationales and answers; one of each question."""

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done; samples without a rationale fail.

        Raises:
            UsageError: the template holds no rationale, or a question is asked more than once.
        """
        if not is_two_step(recipe.template) and recipe.template != "fs_cot":
            raise UsageError(
                f"{recipe.template} has no place for a rationale",
                where="--teacher rationale",
                remedy="use --completion-key zs_cot or fs_cot",
            )
        if any(request.completion_index > 0 for request in requests):
            raise UsageError(
                "a data set has one rationale for each question",
                where="--teacher rationale",
                remedy="leave out --num-completions",
            )
        missing = [request for request in requests if request.key not in done]
        for start in range(0, len(missing), _BATCH):
            yield [_completion(request, recipe) for request in missing[start : start + _BATCH]]


def clean_rationale(rationale: str) -> str:
    """A rationale without the marks of a calculator: ``48/2 = <<48/2=24>>24`` becomes ``48/2 = 24``."""
    return _CALCULATOR_MARK.sub("", rationale).strip()


def _completion(request: TeachRequest, recipe: Recipe) -> Completion | Failure:
    sample = request.sample
    rationale = clean_rationale(sample.rationale or "")
    if not rationale:
        return Failure(request.key, "the data set has no rationale for this sample")
    prompt = prompt_text(recipe.template, sample.question, few_shot=recipe.few_shot.get(sample.task))
    if not is_two_step(recipe.template):
        lead = answer_prefixes(recipe.template)[0]
        return completion_of(request, Step(prompt, f" {rationale} {lead} {sample.answer}.", "stop"))
    reasoning = Step(prompt, f" {rationale}", "stop")
    return completion_of(
        request, reasoning, Step(answer_prompt(prompt, reasoning.text), f" {sample.answer}", "stop")
    )
