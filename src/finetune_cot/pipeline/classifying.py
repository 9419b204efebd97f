"""Classifiers among the commands: who may be asked what, and what GLUE measures of the answers."""

from collections.abc import Callable, Mapping

from finetune_cot.artifacts.completions import Completion, Key
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.errors import UsageError
from finetune_cot.evaluation.glue_metrics import glue_metrics
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.subject import Subject, load_subject, require_weights
from finetune_cot.pipeline.teachers import local_device
from finetune_cot.pipeline.train_data import TrainingData
from finetune_cot.tasks.glue import TEMPLATE, glue_task_of
from finetune_cot.tasks.label_space import LabelSpace
from finetune_cot.tasks.sample import Dataset
from finetune_cot.teachers.protocol import Teacher


def check_classifier(subject: Subject, dataset: Dataset, completion_key: str | None) -> None:
    """Refuse texts to be classified by a language model, and questions to a classifier.

    Raises:
        UsageError: names the data set, or the kind of prompt.
        ArtifactError: a student is named of which nothing is here.
    """
    task = glue_task_of(dataset.key)
    if task:
        require_weights(subject)
    known = subject.labels.tasks if subject.labels else ()
    if task not in known and (task or known):
        told = f"this model classifies {', '.join(known)}" if known else "this model is no classifier"
        raise UsageError(
            f"{told}, and cannot be asked {dataset.key}",
            where="--dataset-key",
            remedy="see `ftcot train --dataset-key glue/<task>`, and --finetune-key or --load-model-dir",
        )
    if completion_key and (completion_key == TEMPLATE) != bool(known):
        raise UsageError(
            f"classifiers, and they alone, answer {TEMPLATE}", where="--completion-key", remedy="leave it out"
        )


def check_writes(subject: Subject, dataset: Dataset) -> None:
    """Refuse to have rationales written for texts that are classified, or by a classifier.

    Raises:
        UsageError: names the data set.
    """
    remedy = "see `ftcot train --dataset-key glue/<task>` and `ftcot evaluate`"
    if subject.labels:
        raise UsageError("a classifier writes nothing", where="--load-model-dir", remedy=remedy)
    if glue_task_of(dataset.key):
        raise UsageError(f"{dataset.key} is to be classified", where="--dataset-key", remedy=remedy)


def check_scores(config: GradsConfig, data: TrainingData) -> None:
    """Refuse margins of scores, which have no odds.

    Raises:
        UsageError: names the task.
    """
    labels = data.labels
    scored = [task for task in labels.tasks if labels.is_regression(task)] if labels else []
    wanted = {
        "--train-gradient": (config.train_gradient == "margin", "give --train-gradient loss"),
        "--check-approximation": (config.check_approximation, "leave it out"),
    }
    for option, (is_wanted, remedy) in wanted.items():
        if scored and is_wanted:
            what = f"{scored[0]} asks for a score, which has no margin"
            raise UsageError(what, where=option, remedy=remedy)


def classifier_maker(
    config: EvaluateConfig, subject: Subject, ranks: Ranks
) -> Callable[[float | None], Teacher]:
    """A function that loads the classifier, whose batches several processes share; it costs nothing."""

    def make(_: float | None) -> Teacher:
        from finetune_cot.teachers.classifier import ClassifierTeacher

        loaded = load_subject(subject, config.precision, local_device(config, ranks))
        return ClassifierTeacher(loaded, config.inference_batch_size, ranks.sharer("batches"))

    return make


def task_metrics(
    labels: LabelSpace, dataset: Dataset, completions: Mapping[Key, Completion]
) -> dict[str, float]:
    """The metrics of a task of GLUE over all its answers; none where there are none."""
    task = dataset.tasks[0]
    guesses = [labels.value(task, completion.completion) for completion in completions.values()]
    right = [labels.value(task, completion.answer) for completion in completions.values()]
    return glue_metrics(task, guesses, right) if right else {}
