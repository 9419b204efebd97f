"""A model on this machine as a teacher: prompts of like length go through it in batches."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.models.generation import Generated, GenerationSettings, generate
from finetune_cot.models.loading import LoadedModel, quiet_transformers
from finetune_cot.prompts.templates import (
    answer_messages,
    answer_prompt,
    chat_messages,
    is_two_step,
    prompt_text,
    stop_strings,
)
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.steps import Step, completion_of
from finetune_cot.teachers.usage import TokenUsage


@dataclass(frozen=True)
class _Asked:
    """A request with the text that the model continues."""

    request: TeachRequest
    prompt: str
    """As it is recorded: without the marks of a chat template."""
    input: str
    """As the model reads it."""
    tokens: int
    """Length of the input."""


class LocalTeacher:
    """Any transformers model, base or fine-tuned.

    Batches are formed over all requests, completion by completion, the longest prompts first. Sampling is
    seeded by the batch, so that neither an interruption nor what was asked before changes what is written.

    Args:
        loaded: The model.
        batch_size: Prompts that go through the model at once.
        take: Gives the batches of a list that are this process's; by default all of them.
    """

    def __init__(
        self, loaded: LoadedModel, batch_size: int, take: Callable[[list[Any]], Iterable[Any]] = iter
    ) -> None:
        self._loaded = loaded
        self._batch_size = batch_size
        self._take = take

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done, a batch at a time.

        Raises:
            UsageError: the model has no chat template, or the prompt template is not for such models.
            ModelError: a batch does not fit into the device's memory.
        """
        batches = []
        for batch in self._batches(requests, recipe):
            missing = [asked for asked in batch if asked.request.key not in done]
            if missing:
                # What is drawn for a row depends on the rows above it, so that sampling needs them all.
                batches.append(batch if recipe.temperature > 0 else missing)
        for batch in self._take(batches):
            answers = self._answer(batch, recipe)
            yield [answer for answer in answers if answer.key not in done]

    def _batches(self, requests: Sequence[TeachRequest], recipe: Recipe) -> Iterator[list[_Asked]]:
        first = {request.sample.sample_index: request for request in requests}
        asked = {index: self._asked(request, recipe) for index, request in first.items()}
        lengths = self._token_counts([item[1] for item in asked.values()])
        by_sample = dict(zip(asked, lengths, strict=True))

        def completion_index(request: TeachRequest) -> int:
            return request.completion_index

        def order(request: TeachRequest) -> tuple[int, int, int]:
            index = request.sample.sample_index
            return request.completion_index, -by_sample[index], index

        for _, group in groupby(sorted(requests, key=order), key=completion_index):
            rows = [
                _Asked(request, *asked[request.sample.sample_index], by_sample[request.sample.sample_index])
                for request in group
            ]
            for start in range(0, len(rows), self._batch_size):
                yield rows[start : start + self._batch_size]

    def _asked(self, request: TeachRequest, recipe: Recipe) -> tuple[str, str]:
        sample = request.sample
        few_shot = recipe.few_shot.get(sample.task)
        prompt = prompt_text(recipe.template, sample.question, self._loaded.model_type, few_shot)
        if not recipe.chat:
            return prompt, prompt
        return prompt, self._render(chat_messages(recipe.template, sample.question, few_shot))

    def _answer(self, batch: Sequence[_Asked], recipe: Recipe) -> list[Completion | Failure]:
        fitting, failures = self._fitting(batch)
        first = self._generate(fitting, recipe, recipe.max_reasoning_tokens, step=1)
        if not is_two_step(recipe.template):
            pairs = zip(fitting, first, strict=True)
            answers = [completion_of(asked.request, _step(asked, text)) for asked, text in pairs]
            return [*failures, *answers]
        reasoning = {
            asked.request.key: _step(asked, text) for asked, text in zip(fitting, first, strict=True)
        }
        fitting, too_long = self._fitting(self._second_step(fitting, reasoning, recipe))
        second = self._generate(fitting, recipe, recipe.max_answer_tokens, step=2)
        completions = [
            completion_of(asked.request, reasoning[asked.request.key], _step(asked, generated))
            for asked, generated in zip(fitting, second, strict=True)
        ]
        return [*failures, *too_long, *completions]

    def _second_step(
        self, batch: Sequence[_Asked], reasoning: Mapping[tuple[int, int], Step], recipe: Recipe
    ) -> list[_Asked]:
        texts = [reasoning[asked.request.key].text for asked in batch]
        prompts = [answer_prompt(asked.prompt, text) for asked, text in zip(batch, texts, strict=True)]
        inputs = prompts
        if recipe.chat:
            inputs = [
                self._render(answer_messages(asked.request.sample.question, text))
                for asked, text in zip(batch, texts, strict=True)
            ]
        lengths = self._token_counts(inputs)
        return [
            _Asked(asked.request, prompt, text, length)
            for asked, prompt, text, length in zip(batch, prompts, inputs, lengths, strict=True)
        ]

    def _fitting(self, batch: Sequence[_Asked]) -> tuple[list[_Asked], list[Failure]]:
        """The prompts that leave room for an answer in the model's context, and the others as failures."""
        context = getattr(self._loaded.model.config, "max_position_embeddings", None)
        if self._loaded.model_type != "decoder" or not context:
            return list(batch), []
        reason = f"the prompt fills the model's context of {context} tokens"
        too_long = [Failure(asked.request.key, reason) for asked in batch if asked.tokens >= context]
        return [asked for asked in batch if asked.tokens < context], too_long

    def _generate(
        self, batch: Sequence[_Asked], recipe: Recipe, max_new_tokens: int, step: int
    ) -> list[Generated]:
        keys = [asked.request.key for asked in batch]
        settings = GenerationSettings(
            max_new_tokens=max_new_tokens,
            temperature=recipe.temperature,
            stop=stop_strings(recipe.template),
            seed=batch_seed(recipe.seed, step, keys),
        )
        tasks = [asked.request.sample.task for asked in batch]
        return generate(self._loaded, [asked.input for asked in batch], settings, tasks)

    def _render(self, messages: list[dict[str, str]]) -> str:
        tokenizer = self._loaded.tokenizer
        if not tokenizer.chat_template:
            raise UsageError(
                "this model has no chat template", where="--chat", remedy="ask in plain text: --no-chat"
            )
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # Tokenizers that begin every text with this token would write it twice.
        begins = tokenizer.bos_token and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
        return text.removeprefix(tokenizer.bos_token) if begins else text

    def _token_counts(self, texts: Sequence[str]) -> list[int]:
        with quiet_transformers():  # which would warn of texts that are too long; those fail, each by itself
            return list(map(len, self._loaded.tokenizer(list(texts))["input_ids"])) if texts else []


def batch_seed(seed: int, step: int, keys: Sequence[tuple[int, int]]) -> int:
    """Seed of a batch's draws, the same in every process."""
    text = json.dumps([seed, step, list(keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def _step(asked: _Asked, generated: Generated) -> Step:
    return Step(
        asked.prompt,
        generated.text,
        generated.finish_reason,
        TokenUsage(generated.prompt_tokens, generated.completion_tokens),
    )
