"""``ftcot export-hf``: a checkpoint becomes a folder that plain transformers or PEFT loads."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.checkpoints import BEST, EPOCHS, LAST, is_checkpoint, weights_folder
from finetune_cot.artifacts.ensembles import is_ensemble, read_ensemble
from finetune_cot.artifacts.files import (
    read_json,
    recover_directory,
    sha256_file,
    write_directory_atomic,
    write_json_atomic,
)
from finetune_cot.artifacts.ids import ExportId, parse_checkpoint_path
from finetune_cot.artifacts.keys import check_key
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import (
    RunningCommand,
    read_manifest,
    start,
    verify_outputs,
    write_manifest,
)
from finetune_cot.artifacts.students import STUDENT_FILE, Student, write_student
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.options import replace, to_plain
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.pipeline.named_checkpoint import named_checkpoint
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.recorded_dev_set import mean_loss, recorded_dev_set

if TYPE_CHECKING:
    from finetune_cot.models.loading import LoadedModel

_MANIFEST, _COMPARISON = "manifest.json", "comparison.json"


@dataclass(frozen=True)
class ExportHfResult:
    """The exported folder, and how close it is to the checkpoint."""

    path: Path
    merged: bool
    """Whether it is a whole model; otherwise it is an adapter."""
    max_logit_difference: float | None
    """Largest absolute difference of a logit before and after, on a few texts; None in a dry run."""
    loss_before: float | None
    """Of an adapter trained in 4 bits that was merged: the checkpoint's mean loss on dev samples, in nats."""
    loss_after: float | None
    """The same of the export."""
    dtype: str
    checkpoint: Path
    base_model: str
    reused: bool
    """Whether the same export was there already."""
    bytes: int
    """Size of the folder."""
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The export beside the checkpoint, as in `ExportHfResult`."""

    max_logit_difference: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None


@dataclass(frozen=True)
class _Source:
    """What is exported, and where to."""

    weights: Path
    """Folder with the adapter or the whole model."""
    is_adapter: bool
    is_bottleneck: bool
    is_quantized: bool
    """Whether the adapter was trained on a base model in 4 bits."""
    home: Path
    """Folder of the training."""
    student: Student | None
    path: Path
    """The export's folder."""

    def inputs(self) -> dict[str, str]:
        """SHA-256 of the files that are exported."""
        files = sorted(self.weights.glob("*.safetensors"))
        return {file.name: sha256_file(file) for file in files if not file.name.startswith("trainer_state")}


def export_hf(config: ExportHfConfig) -> ExportHfResult:
    """Export a checkpoint, load it back, and compare.

    Raises:
        UsageError: the checkpoint holds a whole model, and an adapter is asked for; or the other way round an
            adapter that cannot be merged.
        ModelError: there is no checkpoint, it is torn or does not fit its base model, or the export differs.
        ArtifactError: another export is there, or the folder cannot be written.
    """
    source = _source(config)
    if not config.merged and not source.is_adapter:
        raise UsageError(
            "this checkpoint holds a whole model and no adapter", where="--no-merged", remedy="leave it out"
        )
    if config.merged and source.is_bottleneck:
        raise UsageError(
            "a bottleneck adapter cannot be merged into a model",
            where="--merged",
            remedy="give --no-merged",
        )
    config = _settled(config, source)
    running = start("export-hf", to_plain(config))
    if not config.dry_run:
        recover_directory(source.path)
    if source.path.exists() and not config.overwrite:
        return _reuse(config, source, running)
    if config.dry_run:
        return _result(config, source, running, Comparison(), reused=False)
    with artifact_lock(source.path, "export-hf"):
        comparison = _export(config, source, running)
    say(f"exported to {source.path}; largest difference of a logit: {comparison.max_logit_difference:.3g}")
    return _result(config, source, running, comparison, reused=False)


def _settled(config: ExportHfConfig, source: _Source) -> ExportHfConfig:
    """The config with what the adapter is merged into."""
    merges = source.is_quantized and config.merged
    if config.merge_base and not merges:
        raise UsageError(
            "is about merging an adapter that was trained on a base model in 4 bits",
            where="--merge-base",
            remedy="leave it out",
        )
    return replace(config, merge_base=config.merge_base or "dequantized") if merges else config


def _source(config: ExportHfConfig) -> _Source:
    from finetune_cot.models.bottleneck import is_bottleneck
    from finetune_cot.models.finetuned import ADAPTER_CONFIG, student_home, student_of
    from finetune_cot.models.quantized import QUANTIZATION_FILE
    from finetune_cot.models.safety import read_object

    folder = named_checkpoint(config)
    if not folder.is_dir():
        raise ModelError("no checkpoint is there", where=folder, remedy="check --load-model-dir")
    weights = weights_folder(folder) if is_checkpoint(folder) else folder
    if is_ensemble(weights):
        raise UsageError(
            "holds an ensemble, which no single model is",
            where=folder,
            remedy=f"export its members: --load-model-dir {weights / read_ensemble(weights).members[0]}",
        )
    is_adapter = (weights / ADAPTER_CONFIG).is_file()
    if not is_adapter and not (weights / "config.json").is_file():
        raise ModelError(
            "holds neither an adapter nor a model",
            where=folder,
            remedy="give a folder that `ftcot train` wrote",
        )
    if is_checkpoint(folder) and not (folder / _MANIFEST).is_file():
        say(f"the training of {folder.name} has not ended: what it saved last is exported")
    part = "" if weights.name == LAST or not _is_part(weights) else f"_{weights.name}"
    home = student_home(weights) or folder
    name, run = _name_and_run(home)
    student = student_of(weights)
    if student:
        student = _one_run(student, run, part)
    bottleneck = is_adapter and is_bottleneck(read_object(weights / ADAPTER_CONFIG))
    path = ExportId(name + part, run).path(config.saved_dir)
    quantized = (weights / QUANTIZATION_FILE).is_file()
    return _Source(weights, is_adapter, bottleneck, quantized, home, student, path)


def _is_part(weights: Path) -> bool:
    """Whether a folder is a part of a checkpoint rather than an adapter or model by itself."""
    return weights.name in (LAST, BEST) or weights.parent.name == EPOCHS


def _name_and_run(home: Path) -> tuple[str, int]:
    try:
        found = parse_checkpoint_path(home.resolve())
    except ArtifactError:  # an adapter from elsewhere, whose folder has a name of its own
        return check_key(home.resolve().name, "name of the folder"), 0
    return found.save_name, found.run


def _one_run(student: Student, run: int, part: str) -> Student:
    """The student of this run alone, by a train key of its own where it is not of the last weights."""
    checkpoints = {key: path for key, path in student.checkpoints.items() if key == str(run)}
    return dataclasses.replace(
        student, train_key=student.train_key + part, checkpoints=checkpoints or student.checkpoints
    )


def _reuse(config: ExportHfConfig, source: _Source, running: RunningCommand) -> ExportHfResult:
    """The export that is there, if it is the same and whole."""
    other = ArtifactError(
        "another export is there",
        where=source.path,
        remedy="give --overwrite to replace it",
    )
    if not (source.path / _MANIFEST).is_file():
        raise other
    manifest = read_manifest(source.path / _MANIFEST)
    same = all(manifest.config.get(key) == getattr(config, key) for key in ("merged", "merge_base", "dtype"))
    if not same or dict(manifest.inputs) != source.inputs():
        raise other
    verify_outputs(source.path, manifest)
    comparison = Comparison(**read_json(source.path / _COMPARISON))
    say(f"{source.path.name} is there already, exported in the same way: nothing to do")
    return _result(config, source, running, comparison, reused=True)


def _export(config: ExportHfConfig, source: _Source, running: RunningCommand) -> Comparison:
    from finetune_cot.models.export import (
        load_exported,
        max_difference,
        probe_logits,
        write_adapter,
        write_whole_model,
    )
    from finetune_cot.models.finetuned import load_finetuned
    from finetune_cot.models.loading import model_folder

    inputs = source.inputs()
    loaded = load_finetuned(source.weights, merged=False, device="cpu")
    before = probe_logits(loaded.model, loaded.tokenizer)
    examples = recorded_dev_set(source.home, loaded) if source.is_quantized and config.merged else []
    pad = loaded.tokenizer.pad_token_id
    loss_before = mean_loss(loaded.model, pad, examples) if examples else None
    with write_directory_atomic(source.path) as folder:
        if source.is_adapter and not config.merged:
            write_adapter(source.weights, folder, loaded.base_name, config.dtype)
        else:
            base = model_folder(loaded.base_name)[0]
            model = _merged(loaded, source, config.merge_base)
            write_whole_model(model, folder, base, config.dtype)
            del model
        labels = loaded.labels
        del loaded
        exported, tokenizer = load_exported(folder, labels)
        comparison = Comparison(
            max_difference(
                before,
                probe_logits(exported, tokenizer),
                where=source.path,
                dtype=config.dtype,
                same_weights=config.merge_base != "original",
            ),
            loss_before,
            mean_loss(exported, pad, examples) if examples else None,
        )
        write_json_atomic(folder / _COMPARISON, dataclasses.asdict(comparison))
        if source.student:
            write_student(folder / STUDENT_FILE, source.student)
        outputs = {file.name: sha256_file(file) for file in sorted(folder.iterdir())}
        write_manifest(folder / _MANIFEST, running.manifest(inputs, outputs))
    return comparison


def _merged(loaded: "LoadedModel", source: _Source, merge_base: str | None) -> Any:
    """The model with its adapter merged, into a base in float32 where it was trained on one in 4 bits."""
    from finetune_cot.models.finetuned import with_adapter
    from finetune_cot.models.loading import load_model
    from finetune_cot.models.quantized import dequantize_into

    if not source.is_adapter:
        return loaded.model
    if not source.is_quantized:
        return loaded.model.merge_and_unload()
    base = load_model(loaded.base_name, device="cpu", labels=loaded.labels)
    if merge_base == "dequantized":
        dequantize_into(base.model, loaded.model)
    return with_adapter(base, source.weights, merged=True).model


def _result(
    config: ExportHfConfig,
    source: _Source,
    running: RunningCommand,
    comparison: "Comparison",
    *,
    reused: bool,
) -> ExportHfResult:
    files = source.path.iterdir() if source.path.exists() else ()
    return ExportHfResult(
        path=source.path,
        merged=config.merged,
        **vars(comparison),
        dtype=config.dtype,
        checkpoint=source.weights,
        base_model=_base_model(source),
        reused=reused,
        bytes=sum(file.stat().st_size for file in files),
        seconds=running.seconds,
    )


def _base_model(source: _Source) -> str:
    if source.student:
        return source.student.model_key
    if not source.is_adapter:
        return str(source.weights)
    recorded: Any = read_json(source.weights / "adapter_config.json")
    return str(recorded.get("base_model_name_or_path"))
