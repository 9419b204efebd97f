"""From a question to a measured student, in Python.

    python examples/without_the_cli.py [--model-key MODEL] [--train 80] [--test 40] [--saved-dir saved]

A command of ``ftcot`` is a config and a function: ``ftcot train --epochs 2`` is
``train(TrainConfig(epochs=2))``. The config holds the options under their names, with ``_`` for ``-``; the
function returns what ``--json`` prints, and raises an ``FtcotError`` where the command would print a line.
What is written can be gone on with by either. Two minutes of one core; it printed

    80 samples of 80 rationales
    dev loss 0.387 nats a token after 18 optimizer steps
    base: 5.0% ± 3.4%, n = 40
    student: 52.5% ± 7.9%, n = 40
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.build_finetune_data import build_finetune_data
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.teach import teach
from finetune_cot.pipeline.train import train

DATASET = "bundled_one_step_word_problem"


def main(arguments: Sequence[str] | None = None) -> None:
    """Teach, build training data, train, and measure base and student on the same questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-key", default="SmolLM2-135M-Instruct")
    parser.add_argument("--train", type=int, default=80, help="questions that are taught")
    parser.add_argument("--test", type=int, default=40, help="questions that base and student answer")
    parser.add_argument("--saved-dir", type=Path, default=Path("saved"))
    given = parser.parse_args(arguments)
    where = {"dataset_key": DATASET, "saved_dir": given.saved_dir}

    taught = teach(TeachConfig(teacher="rationale", split="train", limit=given.train, **where))
    built = build_finetune_data(BuildFinetuneDataConfig(model_key=taught.model_key, **where))
    print(f"{built.samples} samples of {taught.completed + taught.reused} rationales")

    student = train(
        TrainConfig(
            model_key=given.model_key,
            finetune_key=built.finetune_key,
            lora_rank=8,
            lr=2e-3,
            epochs=2,
            saved_dir=given.saved_dir,
        )
    )
    print(f"dev loss {student.dev_loss:.3f} nats a token after {student.steps} optimizer steps")

    asked = {"model_key": given.model_key, "limit": given.test, **where}
    base = evaluate(EvaluateConfig(completion_key="zs_cot", max_answer_tokens=12, **asked))
    taught_one = evaluate(EvaluateConfig(load_model_dir=student.checkpoint, max_reasoning_tokens=96, **asked))
    for name, measured in (("base", base), ("student", taught_one)):
        print(f"{name}: {measured.accuracy:.1%} ± {measured.stderr:.1%}, n = {measured.n}")


if __name__ == "__main__":
    main()
