"""Base models with their tokenizers, ready to generate."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.classification import head_parameters, label_config, new_head, seeded_head
from finetune_cot.models.embedded import embedded_model_folder
from finetune_cot.models.hub import fetch_model
from finetune_cot.models.mixture import Mixture
from finetune_cot.models.quantized import prepare_quantized, quantization_config
from finetune_cot.models.registry import resolve
from finetune_cot.models.safety import check_model_folder
from finetune_cot.tasks.label_space import LabelSpace

ModelType = Literal["decoder", "encoder_decoder"]

_WEIGHTS_DTYPES = {
    "32-true": torch.float32,
    "16-true": torch.float16,
    "bf16-true": torch.bfloat16,
    "64-true": torch.float64,
    "transformer-engine": torch.bfloat16,
}
"""Number format of the weights by Lightning's precision names; under the mixed ones it is float32."""

_MIXED_DTYPES = {
    "16-mixed": torch.float16,
    "16": torch.float16,
    "bf16-mixed": torch.bfloat16,
    "bf16": torch.bfloat16,
}


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, and what goes with it."""

    model: Any
    """A transformers model; its generation config holds nothing but token ids."""
    tokenizer: Any
    """Its tokenizer, with a padding token."""
    model_type: ModelType
    base_name: str
    """Where the base model came from: the embedded model's name, a folder's path, or a name on the hub."""
    device: torch.device
    precision: str = "32-true"
    labels: LabelSpace | None = None
    """What the rows of a classifier's head mean; None of a language model."""
    mixture: Mixture | None = None
    """Which of the model's adapters speak together; None where it is a single model."""


def load_model(
    model_key: str,
    *,
    precision: str = "32-true",
    device: str = "auto",
    labels: LabelSpace | None = None,
    seed: int = 0,
    quantized: bool = False,
) -> LoadedModel:
    """Load a base model: the embedded one, a folder, or one of the Hugging Face hub.

    Args:
        model_key: Alias, path or name on the hub.
        precision: Number format, by Lightning's names.
        device: Where it shall run, such as ``auto``, ``cpu`` or ``cuda:1``.
        labels: Labels of a new head, which makes a classifier of it; None for a language model.
        seed: Seed of the new head.
        quantized: Whether its linear layers are kept in 4 bits, and all of it frozen.

    Raises:
        ModelError: the model is not there, not safe to load, torn or of a kind that cannot generate.
        UsageError: the device is not there, or bitsandbytes is not.
    """
    target = pick_device(device)
    folder, name = model_folder(model_key)
    return load_folder(
        folder,
        base_name=name,
        precision=precision,
        device=target,
        labels=labels,
        seed=seed,
        quantized=quantized,
    )


def sketch_model(model_key: str, precision: str, labels: LabelSpace | None) -> LoadedModel:
    """A base model whose layers lie on the meta device, where they have no numbers and take no memory.

    Args:
        model_key: Alias, path or name on the hub.
        precision: Number format, by Lightning's names.
        labels: Labels of a classifier's head; None for a language model.

    Raises:
        ModelError: the model is not there, or not safe to load.
    """
    folder, name = model_folder(model_key, weights=False)
    with quiet_transformers(), told_as_model_error(folder):
        config, kind = _architecture(folder, labels)
        with torch.device("meta"):
            model = kind.from_config(config, dtype=weights_dtype(precision), trust_remote_code=False)
        tokenizer = _load_tokenizer(folder)
    if labels:
        model.config.pad_token_id = tokenizer.pad_token_id
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        model_type="encoder_decoder" if config.is_encoder_decoder else "decoder",
        base_name=name,
        device=torch.device("meta"),
        precision=precision,
        labels=labels,
    )


def model_folder(model_key: str, *, weights: bool = True) -> tuple[Path, str]:
    """Folder of a base model on this machine, fetched or converted where needed, and the model's name.

    Args:
        model_key: Alias, path or name on the hub.
        weights: Whether the weights of a hub model are wanted too.

    Raises:
        ModelError: the model is not there.
    """
    found = resolve(model_key)
    if found.kind == "embedded":
        return embedded_model_folder(), found.location
    if found.kind == "folder":
        return Path(found.location), str(Path(found.location).resolve())
    return fetch_model(found.location, weights=weights), found.location


def load_folder(
    folder: Path,
    *,
    base_name: str,
    precision: str,
    device: torch.device,
    tokenizer_folder: Path | None = None,
    exact: bool = False,
    labels: LabelSpace | None = None,
    seed: int = 0,
    quantized: bool = False,
) -> LoadedModel:
    """Load a whole model from its folder; every weight must be there, but for those of a new head.

    Args:
        folder: Folder with configuration and safetensors.
        base_name: Name of the base model.
        precision: Number format, by Lightning's names.
        device: Where it shall run.
        tokenizer_folder: Where the tokenizer lies, if not in the same folder.
        exact: Whether weights that are left over, or a new head, are an error too; authors of hub models
            leave some.
        labels: Labels of a classifier's head; None for a language model.
        seed: Seed of a new head.
        quantized: Whether its linear layers are kept in 4 bits, and all of it frozen.

    Raises:
        ModelError: it is not safe to load, torn, incomplete, or of a kind that cannot generate.
    """
    check_model_folder(folder)
    dtype, how = weights_dtype(precision), {}
    with quiet_transformers(), told_as_model_error(folder):
        if quantized:
            head = new_head(*_architecture(folder, labels)) if labels else None
            how = {
                "quantization_config": quantization_config(autocast_dtype(precision) or dtype, head),
                "device_map": {"": device},
            }
        with seeded_head(labels, seed):
            model = _load_weights(folder, dtype, exact, labels, how)
        tokenizer = _load_tokenizer(tokenizer_folder or folder)
    if quantized:
        prepare_quantized(model, dtype)
    if labels:
        model.config.pad_token_id = tokenizer.pad_token_id  # by which decoders find the end of a text
    else:
        model.generation_config = _token_ids_only(model.generation_config)
    return LoadedModel(
        model=(model if quantized else model.to(device)).eval(),
        tokenizer=tokenizer,
        model_type="encoder_decoder" if model.config.is_encoder_decoder else "decoder",
        base_name=base_name,
        device=device,
        precision=precision,
        labels=labels,
    )


def pick_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is the first GPU, and without one the CPU.

    Raises:
        UsageError: this machine has no such device.
    """
    has_mps = torch.backends.mps.is_available()
    there = [f"cuda:{index}" for index in range(torch.cuda.device_count())] + ["mps"] * has_mps + ["cpu"]
    if device == "auto":
        return torch.device(there[0])
    if device == "cuda" and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if device not in there:
        raise UsageError(
            f"this machine has no device {device!r}",
            where="--device",
            remedy=f"it has: auto, {', '.join(there)}",
        )
    return torch.device(device)


def weights_dtype(precision: str) -> torch.dtype:
    """Number format of the weights; mixed precisions keep them in float32."""
    return _WEIGHTS_DTYPES.get(precision, torch.float32)


def autocast_dtype(precision: str) -> torch.dtype | None:
    """Number format that a mixed precision computes in; None for the others."""
    return _MIXED_DTYPES.get(precision)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' advice and bars from the user's terminal, and put its settings back afterwards."""
    from transformers.utils import logging as module

    logging: Any = module
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Of names that PEFT and we use because older releases of transformers know no others.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def told_as_model_error(where: Path) -> Iterator[None]:
    """Turn what the libraries raise over a bad model folder into one line.

    Raises:
        ModelError: names the folder and the first line of the library's message.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ModelError(f"the weights are torn: {error}", where=where, remedy=_AGAIN) from None
    except torch.OutOfMemoryError:
        raise ModelError("does not fit into the device's memory", where=where, remedy=_SMALLER) from None
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first_line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"cannot be loaded: {first_line}", where=where, remedy=_AGAIN) from None


_AGAIN = "see that it is a whole text model, or download or export it again"
_SMALLER = "try --precision bf16-true, a smaller model, or --device cpu"


def _architecture(folder: Path, labels: LabelSpace | None) -> tuple[Any, Any]:
    """Configuration of a model, and the class that makes one of it."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if labels:
        config.update(label_config(labels))
    return config, auto_class(config, labels)


def _load_weights(
    folder: Path, dtype: torch.dtype, exact: bool, labels: LabelSpace | None, how: Mapping[str, Any]
) -> Any:
    config, kind = _architecture(folder, labels)
    model, info = kind.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **how,
    )
    new = () if exact else head_parameters(model)
    _refuse(sorted(key for key in info["missing_keys"] if key not in new), "missing", folder)
    if exact:
        _refuse(sorted(info["unexpected_keys"]), "left over", folder)
    return model


def auto_class(config: Any, labels: LabelSpace | None) -> Any:
    """The class by which transformers loads such a model."""
    import transformers

    module: Any = transformers
    if labels:
        return module.AutoModelForSequenceClassification
    return module.AutoModelForSeq2SeqLM if config.is_encoder_decoder else module.AutoModelForCausalLM


def _refuse(keys: list[str], kind: str, folder: Path) -> None:
    if keys:
        what = f"{len(keys)} of the model's weights are {kind}, such as {keys[0]}"
        raise ModelError(what, where=folder, remedy=_AGAIN)


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except AttributeError:
        # transformers 4, where protobuf is installed, looks into a vocabulary that is not there.
        what = "cannot be loaded: its tokenizer is missing"
        raise ModelError(what, where=folder, remedy=_AGAIN) from None
    if tokenizer.pad_token is None:
        # What fills up a batch is masked, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _token_ids_only(generation_config: Any) -> Any:
    """A model's generation config without its author's sampling settings, which would leak into every run."""
    values = generation_config.to_dict()
    return type(generation_config)(**{key: values[key] for key in values if key.endswith("_token_id")})
