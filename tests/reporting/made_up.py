"""Made-up models' completions and logs under saved/, written by the parts that really write them."""

import csv
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from finetune_cot.artifacts.completions import Completion, open_completions
from finetune_cot.artifacts.ids import CompletionId, ModelMetadataId
from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.students import Student, write_student
from finetune_cot.evaluation.scores import Score
from finetune_cot.reporting.findings import Measurement
from finetune_cot.tasks.sample import Sample

LABELS = {"ft_cot_token": "So it is. --> {}", "ft_cot_natural": "So it is.\n\nTherefore the answer is {}"}


def completion_of(sample: Sample, template: str, right: bool, number: int = 0) -> Completion:
    answer = sample.answer if right else "987654321"
    return Completion(
        sample_index=sample.sample_index,
        completion_index=number,
        question=sample.question,
        answer=sample.answer,
        prompt=sample.question,
        completion=LABELS.get(template, "{}").format(answer),
        finish_reason="stop",
    )


def write_completions(
    saved: Path, id: CompletionId, samples: Iterable[Sample], right: Callable[[int, int], bool], each: int = 1
) -> Path:
    """A completion file; ``right(sample_index, completion_index)`` says which completions are."""
    template = id.completion_key.removesuffix("_t70")
    path = id.path(saved)
    with open_completions(path, {"template": template}, ["template"], "test") as store:
        store.append(
            completion_of(sample, template, right(sample.sample_index, number), number)
            for sample in samples
            for number in range(each)
        )
        store.finish(start("test", {}).manifest())
    return path


def chance(share: float, seed: int) -> Callable[[int, int], bool]:
    """Right in this share of the cases, the same at every call."""
    return lambda index, number: random.Random(f"{seed} {index} {number}").random() < share


def write_student_metadata(saved: Path, id: ModelMetadataId, **changes: object) -> None:
    values: dict[str, object] = {
        "model_key": id.base_model,
        "finetune_key": id.finetune_key,
        "train_key": id.train_key,
        "method": "lora",
        "template": "ft_cot_token",
        "checkpoints": {"0": f"checkpoints/{id.finetune_key}_{id.base_model}_run_0"},
        "training_samples": 100,
        "rationales_per_question": 1,
        "teacher": "teacher",
    }
    write_student(id.path(saved), Student(**(values | changes)))  # type: ignore[arg-type]


def write_epochs(saved: Path, name: str, epochs: Iterable[tuple[float, float, Mapping[str, float]]]) -> Path:
    """A training log: train loss, dev loss and dev loss by task of each epoch."""
    rows = list(epochs)
    folder = saved / "checkpoints" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "epochs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        tasks = sorted({task for _, _, by_task in rows for task in by_task})
        writer.writerow(["epoch", "step", "train_loss", "dev_loss", *(f"dev_loss_{task}" for task in tasks)])
        for number, (train, dev, by_task) in enumerate(rows, start=1):
            writer.writerow([number, 10 * number, train, dev, *(by_task.get(task, "") for task in tasks)])
    return folder / "epochs.csv"


def measured(
    id: CompletionId, correct: int, n: int = 10, student: Student | None = None, part: str = "test"
) -> Measurement:
    share = correct / n
    score = Score(n, correct, share, (share * (1 - share) / n) ** 0.5, correct, n, None, 0)
    return Measurement(
        id=id,
        file="file",
        template=id.completion_key.removesuffix("_t70"),
        temperature=0.7 if id.completion_key.endswith("_t70") else 0.0,
        student=student,
        part=part,
        as_asked=True,
        expected=n,
        answered=frozenset(range(n)),
        samples=1,
        foreign=0,
        score=score,
    )


def student_id(
    train_key: str = "lora", epoch: int | None = None, finetune_key: str = "ft_cot_gsm8k"
) -> CompletionId:
    return CompletionId("m", "ft_cot_token", "gsm8k", finetune_key, train_key, epoch)
