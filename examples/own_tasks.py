"""A collection of tasks of one's own, made by code, that a model learns and is measured on.

    python examples/own_tasks.py [--model-key MODEL] [--samples 200] [--test 60] [--out own_tasks]

Two tasks, leap years and sums of digits, each with questions, right answers and rationales, become one data
set: a file under ``OUT/data/dataset/`` that every command of ``ftcot`` takes by its key. A task says what its
answers look like, and so how they are found in what a model writes. A model is trained on the rationales of
70 % of the questions, and asked others. Three minutes of one core; it printed

    200 questions in own_tasks/data/dataset/years_and_digits.json
    dev losses, nats a token: digit_sums 0.061, leap_years 0.161
    base: digit_sums 3 of 35, leap_years 2 of 25
    student: digit_sums 11 of 35, leap_years 22 of 25

Always saying no would be right of 18 of the 25 years.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.evaluate import EvaluateResult, evaluate
from finetune_cot.pipeline.train import train
from finetune_cot.tasks.reasoning import store_dataset
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample

KEY = "years_and_digits"
ANSWERS = {"leap_years": AnswerFormat("yes_no"), "digit_sums": AnswerFormat("number")}


def leap_year(year: int) -> Sample:
    """Is it one? What counts are the last two digits, or where these are 00 the first two."""
    counts = year % 100 or year // 100
    answer = "no" if counts % 4 else "yes"
    rationale = f"What counts is {counts} = 4 * {counts // 4} + {counts % 4}. The answer is {answer}."
    return Sample(year, f"Is the year {year} a leap year?", answer, "leap_years", rationale)


def digit_sum(number: int) -> Sample:
    """What do the digits make together?"""
    total = sum(map(int, str(number)))
    rationale = f"The digits are {' + '.join(str(number))} = {total}. The answer is {total}."
    return Sample(number, f"What is the sum of the digits of {number}?", str(total), "digit_sums", rationale)


def show(name: str, measured: EvaluateResult) -> None:
    """Print the accuracy of each task."""
    shares = (f"{score.task} {score.correct} of {score.n}" for score in measured.tasks)
    print(f"{name}: {', '.join(shares)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the collection, train on it, and measure base and student."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-key", default="SmolLM2-135M-Instruct")
    parser.add_argument("--samples", type=int, default=200, help="questions of both tasks together")
    parser.add_argument("--test", type=int, default=60, help="questions that base and student answer")
    parser.add_argument("--out", type=Path, default=Path("own_tasks"), help="folder of all that is written")
    given = parser.parse_args(arguments)

    numbers = Random(0).sample(range(1000, 3000), given.samples)
    samples = [(leap_year, digit_sum)[place % 2](number) for place, number in enumerate(numbers)]
    path, _ = store_dataset(
        Dataset(KEY, tuple(samples), "own_tasks.py", ANSWERS), given.out / "data", {}, True
    )
    print(f"{len(samples)} questions in {path}")

    where = {"dataset_key": KEY, "data_dir": given.out / "data", "saved_dir": given.out / "saved"}
    student = train(TrainConfig(model_key=given.model_key, lora_rank=8, lr=2e-3, **where))
    losses = (f"{task} {loss:.3f}" for task, loss in student.dev_loss_by_task.items())
    print(f"dev losses, nats a token: {', '.join(losses)}")
    asked = {"model_key": given.model_key, "limit": given.test, "max_answer_tokens": 12, **where}
    show("base", evaluate(EvaluateConfig(completion_key="zs_cot", **asked)))
    show("student", evaluate(EvaluateConfig(load_model_dir=student.checkpoint, **asked)))


if __name__ == "__main__":
    main()
