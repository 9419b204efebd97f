"""``ftcot demo``: the whole road on bundled tasks, from a question to a measured student.

The model teaches itself on easy additions, where some of its sampled rationales are right; for everything
else the rationales of the bundled tasks stand in for a larger teacher's.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.artifacts.manifest import start
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.config.demo import DemoConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.options import to_plain
from finetune_cot.config.report import ReportConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import DataError
from finetune_cot.pipeline.build_finetune_data import BuildFinetuneDataResult, build_finetune_data
from finetune_cot.pipeline.evaluate import EvaluateResult, evaluate
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.report import report
from finetune_cot.pipeline.teach import TeachResult, teach
from finetune_cot.pipeline.train import train

DATASETS = {
    "addition": "bundled_small_addition",
    "story": "bundled_one_step_word_problem",
    "maximum": "bundled_list_maximum",
}
"""Data sets by the key of the training data made of them."""

SELF_TAUGHT_KEY, SELF_TAUGHT = "self", DATASETS["addition"]
SELF_TAUGHT_QUESTIONS, SELF_TAUGHT_COMPLETIONS = 24, 3
TAUGHT_QUESTIONS = 80
"""Questions of each data set that are taught by its own rationales."""


@dataclass(frozen=True)
class Accuracy:
    """How often a model was right on the held-out questions."""

    n: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.correct / self.n

    @property
    def stderr(self) -> float:
        """Standard error of the accuracy."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.n)


@dataclass(frozen=True)
class DatasetAccuracies:
    """Right answers of base and student on one data set."""

    dataset: str
    n: int
    base_correct: int
    student_correct: int


@dataclass(frozen=True)
class DemoResult:
    """What the student learned."""

    questions: int
    """Held-out questions."""
    training_samples: int
    self_taught_samples: int
    """Training samples whose rationale the model found itself."""
    base_accuracy: float
    """Share of right answers of the model before fine-tuning, asked by zero-shot-CoT, 0 to 1."""
    base_stderr: float
    student_accuracy: float
    student_stderr: float
    gain_in_standard_errors: float | None
    """The difference of the accuracies over its standard error; None where both are certain."""
    datasets: tuple[DatasetAccuracies, ...]
    checkpoint: Path
    report: Path
    page: Path | None
    """The report as one HTML page."""
    seconds: float


def demo(config: DemoConfig) -> DemoResult:
    """Teach, build training data, train, evaluate base and student, report.

    Everything lies under ``--saved-dir``; what an earlier run has done is not done again.

    Raises:
        FtcotError: a step cannot be done, such as one whose model is not installed.
    """
    running = start("demo", to_plain(config))
    say(f"1/5 teach: {config.model_key} on easy additions; the bundled rationales on {len(DATASETS)} tasks")
    wanted = [_self_taught(config), *(_taught(config, key, dataset) for key, dataset in DATASETS.items())]
    say("2/5 build training data from the right rationales")
    built = [data for choice in wanted if (data := _build(choice))]
    say("3/5 train the student")
    trained = train(_training(config, "+".join(item.finetune_key for item in built)))
    say("4/5 measure base model and student on questions that neither has seen")
    before = [_measure(config, dataset) for dataset in DATASETS.values()]
    after = [_measure(config, dataset, trained.checkpoint) for dataset in DATASETS.values()]
    say("5/5 report")
    written = report(ReportConfig(name="demo", saved_dir=config.saved_dir))
    base, student = _pooled(before), _pooled(after)
    return DemoResult(
        questions=base.n,
        training_samples=sum(item.samples for item in built),
        self_taught_samples=sum(item.samples for item in built if item.finetune_key == SELF_TAUGHT_KEY),
        base_accuracy=base.accuracy,
        base_stderr=base.stderr,
        student_accuracy=student.accuracy,
        student_stderr=student.stderr,
        gain_in_standard_errors=_gain(base, student),
        datasets=tuple(
            DatasetAccuracies(first.dataset, first.n, first.correct, second.correct)
            for first, second in zip(before, after, strict=True)
        ),
        checkpoint=trained.checkpoint,
        report=written.report_md,
        page=written.page,
        seconds=running.seconds,
    )


def _self_taught(config: DemoConfig) -> BuildFinetuneDataConfig:
    """Sample rationales of the model itself, and say which of them are wanted."""
    taught = teach(
        TeachConfig(
            model_key=config.model_key,
            dataset_key=SELF_TAUGHT,
            completion_key="fs_cot_t70",
            num_completions=SELF_TAUGHT_COMPLETIONS,
            split="train",
            limit=SELF_TAUGHT_QUESTIONS,
            max_reasoning_tokens=48,
            seed=config.seed,
            saved_dir=config.saved_dir,
        )
    )
    return _right_ones(config, SELF_TAUGHT_KEY, taught)


def _taught(config: DemoConfig, key: str, dataset: str) -> BuildFinetuneDataConfig:
    """Write the bundled rationales of a task as completions, and say which of them are wanted."""
    taught = teach(
        TeachConfig(
            teacher="rationale",
            dataset_key=dataset,
            split="train",
            limit=TAUGHT_QUESTIONS,
            saved_dir=config.saved_dir,
        )
    )
    return _right_ones(config, key, taught)


def _right_ones(config: DemoConfig, key: str, taught: TeachResult) -> BuildFinetuneDataConfig:
    return BuildFinetuneDataConfig(
        model_key=taught.model_key,
        dataset_key=taught.dataset_key,
        completion_key=taught.completion_key,
        finetune_key=key,
        saved_dir=config.saved_dir,
    )


def _build(choice: BuildFinetuneDataConfig) -> BuildFinetuneDataResult | None:
    """Training data of the right rationales; None where the model found none by itself."""
    try:
        return build_finetune_data(choice)
    except DataError as error:
        if choice.finetune_key != SELF_TAUGHT_KEY:
            raise
        say(str(error))
        return None


def _training(config: DemoConfig, finetune_key: str) -> TrainConfig:
    return TrainConfig(
        model_key=config.model_key,
        finetune_key=finetune_key,
        lora_rank=8,
        lr=2e-3,
        epochs=2,
        dev_fraction=0.05,
        seed=config.seed,
        saved_dir=config.saved_dir,
    )


def _measure(config: DemoConfig, dataset: str, checkpoint: Path | None = None) -> EvaluateResult:
    """Score the base model, or the student of a checkpoint, on a data set's share of the questions."""
    return evaluate(
        EvaluateConfig(
            model_key=config.model_key,
            dataset_key=dataset,
            completion_key=None if checkpoint else "zs_cot",
            load_model_dir=checkpoint,
            limit=math.ceil(config.questions / len(DATASETS)),
            max_reasoning_tokens=96 if checkpoint else 64,
            max_answer_tokens=12,
            inference_batch_size=40,
            saved_dir=config.saved_dir,
        )
    )


def _pooled(results: list[EvaluateResult]) -> Accuracy:
    return Accuracy(sum(item.n for item in results), sum(item.correct for item in results))


def _gain(base: Accuracy, student: Accuracy) -> float | None:
    error = math.hypot(base.stderr, student.stderr)
    return (student.accuracy - base.accuracy) / error if error else None
