"""Token ids from a batch of prompts, by transformers' `generate`; rows that have ended leave the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from finetune_cot.models.mixture import MixtureRows

_TAIL = 8
"""Tokens looked at beyond the bytes of a stop string, as some tokens are no text by themselves."""
_ENDED_SHARE = 0.25
"""Share of the rows that may have ended before the others go on without them."""


@dataclass(frozen=True)
class Ending:
    """What ends a row."""

    tokenizer: Any
    token_ids: tuple[int, ...]
    stop: tuple[str, ...]

    def text(self, ids: Sequence[int]) -> str:
        """Text of tokens: special ones left out, spaces kept."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def has_stop(self, ids: Sequence[int]) -> bool:
        """Whether a stop string is in the tokens' text."""
        text = self.text(ids) if self.stop else ""
        return any(string in text for string in self.stop)


def decode_batch(
    model: Any,
    input_ids: Int[Tensor, "samples tokens"],
    attention_mask: Int[Tensor, "samples tokens"],
    config: Any,
    ending: Ending,
    mixture: MixtureRows | None = None,
) -> list[list[int]]:
    """New tokens of each row; one that ended early may hold padding behind its end.

    On a CPU a row costs as much after its end as before, so that rows which have ended are taken out once
    they are a quarter of the batch; the others go on with their part of the cache.

    Args:
        model: A decoder, whose batch is padded on the left, or an encoder-decoder.
        input_ids: Prompts.
        attention_mask: 0 where a prompt is padding.
        config: Generation config with ``max_new_tokens``.
        ending: What ends a row.
        mixture: Whose rows the batch holds, where several adapters write together.
    """
    rows = list(range(len(input_ids)))
    completions: list[list[int]] = [[] for _ in rows]
    batch = _first_inputs(model, input_ids, attention_mask, mixture.adapters if mixture else ())
    left = config.max_new_tokens
    while rows and left > 0:
        width = _sequences(batch).shape[1]
        watch = _EndedRows(ending, width)
        config.max_new_tokens = left
        output = model.generate(
            **batch,
            **(mixture.arguments(rows) if mixture else {}),
            generation_config=config,
            stopping_criteria=[watch],
            return_dict_in_generate=True,
        )
        for row, ids in zip(rows, output.sequences[:, width:].tolist(), strict=True):
            completions[row] += ids
        left -= output.sequences.shape[1] - width
        keep = (~watch.ended).nonzero().flatten()
        rows = [rows[position] for position in keep.tolist()]
        if rows:
            batch = _next_inputs(batch, output, keep)
    return completions


class _EndedRows:
    """Watches which rows have ended; called by transformers after each token, and stops it when many have."""

    def __init__(self, ending: Ending, start: int) -> None:
        self._ending = ending
        self._start = start
        self._tail = max((len(text.encode()) for text in ending.stop), default=0) + _TAIL
        self.ended: Bool[Tensor, " samples"] = torch.zeros(0, dtype=torch.bool)

    def __call__(
        self, input_ids: Int[Tensor, "samples tokens"], *_: Any, **__: Any
    ) -> Bool[Tensor, " samples"]:
        if not len(self.ended):
            self.ended = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        ends = torch.tensor(self._ending.token_ids, device=input_ids.device)
        self.ended |= torch.isin(input_ids[:, -1], ends)
        if self._ending.stop:
            tails = input_ids[:, max(self._start, input_ids.shape[1] - self._tail) :].tolist()
            found = [self._ending.has_stop(tail) for tail in tails]
            self.ended |= torch.tensor(found, device=input_ids.device)
        many = int(self.ended.sum()) >= max(1.0, _ENDED_SHARE * len(self.ended))
        return torch.ones_like(self.ended) if many else self.ended


def _first_inputs(
    model: Any, input_ids: Tensor, attention_mask: Tensor, adapters: Sequence[str]
) -> dict[str, Any]:
    if not model.config.is_encoder_decoder:
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    start = model.generation_config.decoder_start_token_id
    start = model.config.decoder_start_token_id if start is None else start
    return {
        "encoder_outputs": _encoded(model, input_ids, attention_mask, adapters),
        "attention_mask": attention_mask,
        "decoder_input_ids": torch.full_like(input_ids[:, :1], start),
    }


def _encoded(model: Any, input_ids: Tensor, attention_mask: Tensor, adapters: Sequence[str]) -> Any:
    """What the encoder makes of each row, with the row's adapter where there are several."""
    if not adapters:
        return model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask)
    outputs = []
    for name in dict.fromkeys(adapters):
        rows = torch.tensor([adapter == name for adapter in adapters])
        model.set_adapter(name)
        outputs.append(model.get_encoder()(input_ids=input_ids[rows], attention_mask=attention_mask[rows]))
    return type(outputs[0])(torch.cat([output[0] for output in outputs]))


def _sequences(batch: dict[str, Any]) -> Tensor:
    sequences: Tensor = batch["decoder_input_ids" if "decoder_input_ids" in batch else "input_ids"]
    return sequences


def _next_inputs(batch: dict[str, Any], output: Any, keep: Int[Tensor, " kept"]) -> dict[str, Any]:
    """Inputs of the rows that go on, with what the model has computed of them."""
    sequences, mask = output.sequences[keep], batch["attention_mask"][keep]
    if "encoder_outputs" in batch:
        # A decoder's few tokens are soon computed again, which is safer than to cut its two caches.
        encoder = type(batch["encoder_outputs"])(batch["encoder_outputs"][0][keep])
        return {"encoder_outputs": encoder, "attention_mask": mask, "decoder_input_ids": sequences}
    grown = mask.new_ones(len(keep), sequences.shape[1] - mask.shape[1])
    return {
        "input_ids": sequences,
        "attention_mask": torch.cat([mask, grown], dim=1),
        **_kept_cache(output, keep),
    }


def _kept_cache(output: Any, keep: Int[Tensor, " kept"]) -> dict[str, Any]:
    """Some rows of the cache; nothing, so that it is computed again, where it is of an unusual kind."""
    from transformers import DynamicCache

    # Newer releases of transformers 5 call it by its shorter name, and warn of the longer one.
    name = "cache" if "cache" in output else "past_key_values"
    cache = output[name]
    if type(cache) is not DynamicCache:
        return {}
    cache.batch_select_indices(keep)
    return {name: cache}
