"""A classifier as what answers: the likeliest of a task's labels, or a score."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from finetune_cot.artifacts.completions import Completion
from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import EncodedExample, encode_choice
from finetune_cot.batches.grouping import sorted_batches
from finetune_cot.errors import ModelError
from finetune_cot.models.classification import class_logits
from finetune_cot.models.loading import LoadedModel, autocast_dtype
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.steps import Step, completion_of


class ClassifierTeacher:
    """A model with a head of labels.

    Args:
        loaded: The model.
        batch_size: Samples that go through the model at once.
        take: Gives the batches of a list that are this process's; by default all of them.

    Raises:
        ModelError: it is a language model.
    """

    def __init__(
        self, loaded: LoadedModel, batch_size: int, take: Callable[[list[Any]], Iterable[Any]] = iter
    ) -> None:
        if loaded.labels is None:
            raise ModelError("is no classifier", where=loaded.base_name, remedy="load one that `train` made")
        self._loaded = loaded
        self._labels = loaded.labels
        self._batch_size = batch_size
        self._take = take

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Label the samples that are not done, a batch at a time, the longest first."""
        examples = [
            encode_choice(self._loaded.tokenizer, self._labels, request.sample, request.sample.task)
            for request in requests
        ]
        context = self._context()
        batches = sorted_batches([example.length for example in examples], self._batch_size)
        for batch in self._take(batches):
            missing = [place for place in batch if requests[place].key not in done]
            fitting = [place for place in missing if not context or examples[place].length <= context]
            reason = f"the text exceeds the model's context of {context} tokens"
            failures = [Failure(requests[place].key, reason) for place in missing if place not in fitting]
            answers = self._answers([examples[place] for place in fitting]) if fitting else []
            yield [*failures, *map(_completion, (requests[place] for place in fitting), answers)]

    def _context(self) -> int | None:
        """Tokens that the model reads at most; None where it knows no limit."""
        places = getattr(self._loaded.model.config, "max_position_embeddings", None)
        # Of RoBERTa's places two are not for tokens, which its tokenizer knows.
        return min(places, self._loaded.tokenizer.model_max_length) if places else None

    def _answers(self, examples: Sequence[EncodedExample]) -> list[str]:
        loaded = self._loaded
        batch = collate(examples, loaded.tokenizer.pad_token_id).to(loaded.device)
        assert batch.choices
        dtype = autocast_dtype(loaded.precision)
        with torch.inference_mode(), torch.autocast(loaded.device.type, dtype, enabled=dtype is not None):
            found = self._logits(batch)
        pairs = zip(batch.choices.label_sets, batch.choices.guesses(found), strict=True)
        return [self._labels.answer(label_set, value) for label_set, value in pairs]

    def _logits(self, batch: Batch) -> Float[Tensor, "samples classes"]:
        """Of a single model; of an ensemble the logarithms of its probabilities."""
        assert batch.choices
        model, mixture = self._loaded.model, self._loaded.mixture
        if mixture is None:
            return class_logits(model, batch.inputs, batch.choices.allowed)
        found = []
        for name in mixture.adapters:
            model.set_adapter(name)
            found.append(class_logits(model, batch.inputs, batch.choices.allowed))
        return mixture.log_probabilities(found, batch.choices.label_sets)


def _completion(request: TeachRequest, answer: str) -> Completion:
    return completion_of(request, Step(request.sample.question, answer, "stop"))
