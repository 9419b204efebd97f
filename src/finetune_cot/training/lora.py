"""LoRA on a base model, with the target modules usual for its family."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers.pytorch_utils import Conv1D

from finetune_cot.errors import UsageError
from finetune_cot.models.classification import head_modules, is_classifier

TARGETS_BY_FAMILY = {
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "gpt_neox": ("query_key_value",),
    "bloom": ("query_key_value",),
    "falcon": ("query_key_value",),
    "gpt_bigcode": ("c_attn",),
    "mpt": ("Wqkv",),
    "codegen": ("qkv_proj",),
    "phi3": ("qkv_proj",),
    "t5": ("q", "k", "v"),
    "mt5": ("q", "k", "v"),
    "umt5": ("q", "k", "v"),
    "longt5": ("q", "k", "v"),
    "bert": ("query", "key", "value"),
    "roberta": ("query", "key", "value"),
    "xlm-roberta": ("query", "key", "value"),
    "electra": ("query", "key", "value"),
    "distilbert": ("q_lin", "k_lin", "v_lin"),
    "deberta-v2": ("query_proj", "key_proj", "value_proj"),
}
"""Target modules by ``config.model_type``, for families whose attention has other names than most."""

USUAL_TARGETS = ("q_proj", "k_proj", "v_proj")


def add_lora(
    model: Any,
    *,
    base_name: str,
    rank: int,
    alpha: float,
    dropout: float,
    targets: Sequence[str] | None,
    seed: int,
    freeze_head: bool = False,
) -> Any:
    """Freeze a model and give it trainable LoRA matrices (Hu et al. 2022), initialized from the seed.

    Args:
        model: A transformers model.
        base_name: Name of the base model, recorded with the adapter.
        rank: Inner dimension of the matrices A and B.
        alpha: Scale; the update is ``alpha / rank * B A x``.
        dropout: Probability of dropping an input of A while training.
        targets: Names of the modules, ``all-linear``, or None for those usual for the family.
        seed: Seed of A; B starts at zero.
        freeze_head: Whether a classifier's head, which is trained and kept with the adapter, is not trained.

    Raises:
        UsageError: no module of the model has one of the names.
    """
    names = targets or TARGETS_BY_FAMILY.get(model.config.model_type, USUAL_TARGETS)
    heads = head_modules(model) if is_classifier(model) else None
    config = LoraConfig(
        task_type=_task_type(model),
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear" if list(names) == ["all-linear"] else list(names),
        fan_in_fan_out=any(isinstance(part, Conv1D) for part in model.modules()),
        modules_to_save=heads and [*heads],
    )
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            # PEFT asks transformers in a way that this calls old.
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(seed)
            adapted = get_peft_model(model, config)
    except ValueError:
        known = sorted(
            {name.rpartition(".")[2] for name, part in model.named_modules() if hasattr(part, "weight")}
        )
        raise UsageError(
            f"no module of this model is called {', '.join(names)}",
            where="--lora-targets",
            remedy=f"its modules are: {', '.join(known)}",
        ) from None
    adapted.peft_config["default"].base_model_name_or_path = base_name
    # PEFT adds all names that it knows of heads.
    adapted.peft_config["default"].modules_to_save = heads
    return _with_head(adapted, trained=not freeze_head)


def resume_lora(model: Any, *, rank: int, where: object, freeze_head: bool = False) -> Any:
    """Make a loaded adapter trainable again.

    Args:
        model: A PEFT model with LoRA.
        rank: The rank that the adapter must have.
        where: Its folder, for the message.
        freeze_head: Whether a classifier's head is not trained.

    Raises:
        UsageError: the adapter has another rank, or is none of LoRA.
    """
    config = model.peft_config["default"]
    found = getattr(config, "r", None)
    if found != rank:
        raise UsageError(
            f"the adapter has rank {found}, not {rank}" if found else "the adapter is none of LoRA",
            where=where,
            remedy=f"give --lora-rank {found}" if found else None,
        )
    config.inference_mode = False
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(True)
    return _with_head(model, trained=not freeze_head)


def _with_head(model: Any, *, trained: bool) -> Any:
    for name, parameter in model.named_parameters():
        if ".modules_to_save." in name:
            parameter.requires_grad_(trained)
    return model


def _task_type(model: Any) -> TaskType:
    if is_classifier(model):
        return TaskType.SEQ_CLS
    return TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM
