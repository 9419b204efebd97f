"""``ftcot sample-truth``: a model is really fine-tuned on each subset of the tasks."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.ids import ResultsId
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import read_manifest, start, write_manifest
from finetune_cot.artifacts.results import ResultRow, append_result, read_results
from finetune_cot.config.options import to_plain
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.errors import ArtifactError, DataError, InUseError, UsageError
from finetune_cot.estimation.subsets import Subset
from finetune_cot.models.registry import check_available
from finetune_cot.pipeline.devices import rank_device
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.same_run import difference
from finetune_cot.pipeline.subject import start_digest
from finetune_cot.pipeline.task_subsets import chosen_part, listed_subsets
from finetune_cot.pipeline.train_checks import (
    check_optimizer,
    check_precision,
    check_start,
    settled_method,
    settled_precision,
)
from finetune_cot.pipeline.train_data import (
    Parts,
    TrainingData,
    divide,
    in_task_groups,
    read_training_data,
    texts_digest,
    trained_name,
)
from finetune_cot.pipeline.trainable import Examples, encode_parts, load_trainable, training_settings

if TYPE_CHECKING:
    from torch import Tensor

    from finetune_cot.models.loading import LoadedModel

MANIFEST = "truth.json"

_WITHOUT_EFFECT = frozenset(
    {
        *("saved_dir", "data_dir", "data_path", "dataset_key", "task_field", "split_key", "template"),
        *("downsample", "dev_fraction", "save_name", "load_model_dir", "devices", "gradient_checkpointing"),
        *("inference_batch_size", "task_groups", "number_of_subsets", "subset_size"),
        *("load_sample_task_dir", "leave_one_out", "start", "stop", "subset_num", "shard", "missing_only"),
        *("overwrite", "dry_run"),
        *("engine", "ray_address", "ray_workers"),
    }
)
"""Options that do not change the loss of a subset; those about data do by the samples, which are compared."""


@dataclass(frozen=True)
class SampleTruthResult:
    """What was measured."""

    results_path: Path
    subsets: int
    """Subsets whose losses are there now, of those that were asked for."""
    reused: int
    """Those of them that were there before."""
    seconds: float
    """Wall time of fine-tuning and measuring, without loading."""
    tasks: tuple[str, ...] = ()
    elsewhere: int = 0
    """Subsets that another process was working on."""
    plan: Mapping[str, Any] | None = None
    """With ``--dry-run``, what would be done."""


@dataclass(frozen=True)
class TruthPlan:
    """What is to be measured, before a model is loaded."""

    config: SampleTruthConfig
    data: TrainingData
    parts: Parts
    subsets: tuple[Subset, ...]
    path: Path
    device: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class TruthModel:
    """A model with its trainable weights as they are before any training, and all samples as token ids."""

    model: Any
    loaded: "LoadedModel"
    initial: Mapping[str, "Tensor"]
    examples: Examples


def sample_truth(config: SampleTruthConfig) -> SampleTruthResult:
    """Fine-tune from the same weights on each subset of the tasks, and measure every task's dev loss.

    Subsets that are there already are not repeated; several processes share the work when they are started
    on the same list, by ``torchrun`` or one by one. Each subset gives what ``train --task-idxes ...
    --dev-tasks all`` gives.

    Raises:
        UsageError: an option that this machine, this data set or this list cannot follow.
        DataError, ArtifactError: data or list are missing or torn; the results are of another training.
        ModelError: the model is not there.
        TrainingError: the loss is no longer a finite number.
        StoppedByAnotherError: another process of this run failed, and tells why.
    """
    with joined() as ranks:
        return _sample_truth(config, ranks)


def _sample_truth(config: SampleTruthConfig, ranks: Ranks) -> SampleTruthResult:
    if config.engine == "ray":
        from finetune_cot.pipeline.ray_pool import check_ray

        check_ray(ranks.world)
    plan = plan_truth(config, ranks)
    missing = [tuple(subset) for subset in ranks.agree("missing", lambda: missing_subsets(plan))]
    reused = len(plan.subsets) - len(missing)
    if config.dry_run:
        return SampleTruthResult(plan.path, 0, reused, 0.0, plan.data.tasks, plan=_planned(plan, missing))
    started = time.perf_counter()
    if not missing:
        say(f"all {len(plan.subsets)} subsets are there already: nothing to do")
    elif config.engine == "ray":
        from finetune_cot.pipeline.ray_truth import measure_on_ray

        measure_on_ray(plan, missing)
    else:
        measure_here(plan, missing, ranks)
        ranks.gather("measured", None)
    left = len(missing_subsets(plan))
    return SampleTruthResult(
        results_path=plan.path,
        subsets=len(plan.subsets) - left,
        reused=reused,
        seconds=time.perf_counter() - started,
        tasks=plan.data.tasks,
        elsewhere=left,
    )


def plan_truth(config: SampleTruthConfig, ranks: Ranks) -> TruthPlan:
    """Read the data and the list of subsets, and check everything that can be checked without the model."""
    config = settled_method(settled_precision(config))
    device = rank_device(config.devices, ranks.world, ranks.local_rank)
    if config.engine == "local":
        check_precision(config.precision, device)
        check_optimizer(config.optimizer, device)
    check_available(config.model_key)
    check_start(config)
    data = in_task_groups(read_training_data(config), config.task_groups)
    parts = divide(data, config)
    if not parts.dev:
        raise UsageError("there is no dev set to measure a loss on", where="--dev-fraction")
    name = trained_name(config, data)
    subsets = chosen_part(
        _listed(config, data, keep=False), config.start, config.stop, config.subset_num, config.shard
    )
    inputs = {
        "training samples": texts_digest(parts.train, data.template),
        "dev samples": texts_digest(parts.dev, data.template),
    }
    if config.load_model_dir is not None:
        inputs["weights to start from"] = start_digest(config.load_model_dir)
    path = ResultsId(name, run=config.run or None).path(config.saved_dir)
    return TruthPlan(config, data, parts, tuple(dict.fromkeys(subsets)), path, device, inputs)


def _listed(config: SampleTruthConfig, data: TrainingData, keep: bool) -> list[Subset]:
    return listed_subsets(
        config,
        len(data.tasks),
        config.seed,
        trained_name(config, data),
        config.saved_dir,
        overwrite=config.overwrite,
        keep=keep,
        check=not config.dry_run,
    )


def missing_subsets(plan: TruthPlan) -> list[Subset]:
    """The subsets whose losses are not there yet, in the order of the list.

    Raises:
        ArtifactError: the losses that are there are of another training.
    """
    if not plan.path.exists():
        return list(plan.subsets)
    manifest = plan.path.with_name(MANIFEST)
    different = (
        difference(read_manifest(manifest), plan.config, plan.inputs, _WITHOUT_EFFECT)
        if manifest.exists()
        else "nothing tells how they were trained"
    )
    if different and plan.config.overwrite:
        return list(plan.subsets)
    if different:
        raise ArtifactError(
            f"holds results of another training: {different}",
            where=plan.path,
            remedy="give another --save-name, or --overwrite to replace them",
        )
    done = {row.task_indices for row in read_results(plan.path)}
    return [subset for subset in plan.subsets if subset not in done]


def begin(plan: TruthPlan) -> None:
    """Say of what the results are; results of another training are removed, which ``--overwrite`` allowed.

    Nothing is written before, as only the model, once it is loaded, tells whether its options fit it.
    """
    _listed(plan.config, plan.data, keep=True)
    manifest = plan.path.with_name(MANIFEST)
    with artifact_lock(manifest, "sample-truth", wait_seconds=60.0):
        if manifest.exists() and not difference(
            read_manifest(manifest), plan.config, plan.inputs, _WITHOUT_EFFECT
        ):
            return
        plan.path.unlink(missing_ok=True)
        running = start("sample-truth", to_plain(plan.config))
        write_manifest(manifest, running.manifest(inputs=plan.inputs))


def measure_here(plan: TruthPlan, subsets: Sequence[Subset], ranks: Ranks) -> None:
    """Measure subsets one after another, passing over those that another process holds or has done."""
    subject = load_truth_model(plan)
    ranks.agree("begun", lambda: begin(plan))
    with progress("sample-truth", len(subsets), "subsets") as report:
        for place, subset in ranks.share("subsets", subsets):
            try:
                with artifact_lock(_claim(plan.path, subset), "sample-truth"):
                    if subset in missing_subsets(plan):
                        append_result(plan.path, measure(subject, plan, subset, lambda _: None))
            except InUseError:
                say(f"subset {' '.join(map(str, subset))} is being measured by another process")
            report(place + 1)


def load_truth_model(plan: TruthPlan) -> TruthModel:
    """Load the model once for all subsets, and tokenize every sample."""
    from finetune_cot.training.weights import trainable_weights

    model, loaded = load_trainable(plan.config, plan.device, plan.data.labels)
    examples = encode_parts(plan.parts, plan.data.template, plan.config.max_length, loaded)
    initial = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    return TruthModel(model, loaded, initial, examples)


def measure(subject: TruthModel, plan: TruthPlan, subset: Subset, report: Callable[[int], None]) -> ResultRow:
    """Fine-tune from the initial weights on a subset's samples, and measure every task's dev loss.

    Raises:
        DataError: the subset has no samples.
        TrainingError: the loss is no longer a finite number.
    """
    from finetune_cot.training.fit import fine_tune
    from finetune_cot.training.weights import set_trainable_weights

    names = {plan.data.tasks[index] for index in subset}
    train = [example for example in subject.examples.train if example.task in names]
    if not train:
        raise DataError(
            "has no training samples", where=f"subset {' '.join(map(str, subset))}", remedy="see --max-length"
        )
    set_trainable_weights(subject.model, subject.initial)
    settings = training_settings(plan.config, plan.device, only_outcome=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fine_tune(
            subject.model,
            subject.loaded.tokenizer.pad_token_id,
            train,
            subject.examples.dev,
            settings,
            Path(folder),
            report,
        )
    last = outcome.epochs[-1]
    if last.dev_loss is None:
        raise DataError("every sample is too long", where="the dev set", remedy="see --max-length")
    seconds = round(time.perf_counter() - started, 3)
    return ResultRow(subset, last.dev_loss, last.dev_loss_by_task, seconds=seconds)


def _claim(path: Path, subset: Subset) -> Path:
    """What a process holds while it measures a subset."""
    return path.with_name("subset_" + "_".join(map(str, subset)))


def _planned(plan: TruthPlan, missing: Sequence[Subset]) -> dict[str, Any]:
    samples = {task: sum(text.task == task for text in plan.parts.train) for task in plan.data.tasks}
    trained = sum(samples[plan.data.tasks[index]] for subset in missing for index in subset)
    return {
        "model": plan.config.model_key,
        "device": plan.device,
        "tasks": list(plan.data.tasks),
        "subsets": len(plan.subsets),
        "subsets missing": len(missing),
        "samples trained on": trained * plan.config.epochs,
        "dev samples": len(plan.parts.dev) * len(missing),
        "files": [str(plan.path)],
    }
