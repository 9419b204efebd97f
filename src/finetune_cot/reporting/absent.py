"""What is not measured yet, and the command that measures it."""

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

from finetune_cot.reporting.agreement import Agreements
from finetune_cot.reporting.contrasts import origins
from finetune_cot.reporting.findings import Findings, LeftOut
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.tables import Table, table

_WRITERS = MappingProxyType(
    {
        "checkpoints": "ftcot train",
        "completion_data": "ftcot evaluate, or of a teacher ftcot teach",
        "exported_model": "ftcot export-hf",
        "finetune_data": "ftcot build-finetune-data",
        "gradients": "ftcot grads, with --check-approximation for the error of the approximation",
        "model_metadata": "ftcot train",
        "results": "ftcot sample-truth, or of estimates ftcot estimate",
        "sampled_indices": "ftcot select",
    }
)
"""What writes into each folder of ``saved/``."""


def absent_table(findings: Findings, compared: Sequence[Agreements]) -> Table:
    """What the report would show if it were there, first of the road that was begun; no row of nothing."""
    first, second = list(_first_road(findings)), list(_second_road(findings, compared))
    return table(
        "not_measured",
        ["missing", "command"],
        [*first, *second] if findings.measurements or not findings.results else [*second, *first],
        headings=["what is missing", "the command that makes it"],
    )


def left_out_table(every: Iterable[LeftOut]) -> Table:
    """What could not be used, why, and the command that writes such a file anew."""
    return table(
        "left_out",
        ["what", "reason", "command"],
        ([item.what, item.reason, _WRITERS.get(item.what.partition("/")[0])] for item in every),
        headings=["what", "reason", "the command that makes it"],
    )


def _first_road(findings: Findings) -> Iterator[list[str]]:
    measured = findings.measurements
    if not measured:
        yield ["Accuracies: no completions are there", "ftcot evaluate"]
    elif all(item.id.finetune_key is None and item.id.train_key is None for item in measured):
        yield ["A student beside the base models", "ftcot train, then ftcot evaluate --load-model-dir ..."]
    elif not any(item.id.finetune_key is None for item in measured):
        yield ["Base models beside the students", "ftcot evaluate --completion-key zs_cot"]
    if measured and not any(item.repeated for item in measured):
        yield [
            "Repeated inference: several completions of a question",
            "ftcot teach --completion-key zs_cot_t70 --num-completions 8",
        ]
    yield from _studies(findings)
    if not findings.training_data:
        yield ["Training data", "ftcot build-finetune-data"]
    if not findings.training_runs:
        yield ["Losses of a training by epoch", "ftcot train"]


def _studies(findings: Findings) -> Iterator[list[str]]:
    """What the Fine-tune-CoT paper varies, of students that are there."""
    students = [item for item in findings.measurements if naming(item).is_student]
    if not students:
        return
    if not any("_run_" in (item.id.train_key or "") for item in students):
        yield ["How much another seed changes a student", "ftcot train --runs 3, then ftcot evaluate --run 1"]
    if all(item.id.epoch is None for item in students):
        epochs = "ftcot train --keep-epochs, then ftcot evaluate --epoch 1"
        yield ["Accuracy by epoch", epochs]
    if len({naming(item).rationales for item in students}) == 1:
        yield [
            "Accuracy by number of rationales",
            "ftcot build-finetune-data --preset-key ft_cot_t70_8aug, then ftcot train",
        ]
    known = origins(findings.made).values()
    if known and all(origin.only_correct for origin in known if origin.only_correct is not None):
        unfiltered = "ftcot build-finetune-data --no-only-correct --finetune-key ..., then ftcot train"
        yield ["Filtered against unfiltered samples", unfiltered]
    split = any(item.by_split for item in students)
    if split and not any(origin.split_key == "template" for origin in known):
        template = "ftcot build-finetune-data --split-key template --finetune-key ..., then ftcot train"
        yield ["Template against default split", template]


def _second_road(findings: Findings, compared: Sequence[Agreements]) -> Iterator[list[str]]:
    if not compared:
        if not findings.results:
            yield ["Estimates of what subsets of the data would give", "ftcot grads, then ftcot estimate"]
        yield ["Estimates beside the truth", "ftcot sample-truth, on the subsets that were estimated"]
    elif all(found.noise_floor is None for found in compared):
        yield ["The noise floor: the same subsets with another seed", "ftcot sample-truth --run 1"]
    if not findings.approximations:
        yield ["Error of the first-order approximation", "ftcot grads --check-approximation"]
    if not findings.selections:
        yield ["Tasks worth training on", "ftcot select"]
