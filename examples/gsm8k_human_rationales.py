"""Does it help a small model to learn the way to an answer? GSM8K's own solutions beside its answers alone.

    python examples/gsm8k_human_rationales.py [--data-dir DIR] [--train 80] [--test 40] [--model-key MODEL]

GSM8K holds a solution that a person wrote for each question. Two students are trained on the same questions:
one on solution and answer, one on the answer alone, and both are asked the same questions of the test part.
The data: ``ftcot data fetch gsm8k`` writes them to ``data/``; `$FTCOT_DATA_DIR` may name another folder.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import DataError
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.train import train
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.splits import load_split

TEMPLATES = {"solution and answer": "ft_cot_token", "answer alone": "ft_token"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the two students and measure them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-key", default="SmolLM2-135M-Instruct")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("FTCOT_DATA_DIR", "data")))
    parser.add_argument("--train", type=int, default=80, help="questions of the training part")
    parser.add_argument("--test", type=int, default=40, help="questions of the test part")
    parser.add_argument("--saved-dir", type=Path, default=Path("saved"))
    given = parser.parse_args(arguments)
    where = {"dataset_key": "gsm8k", "data_dir": given.data_dir, "saved_dir": given.saved_dir}
    try:
        share = given.train / len(load_split(load_dataset("gsm8k", given.data_dir), given.data_dir).train)
    except DataError as error:  # says where it looked, and how to get the data
        raise SystemExit(str(error)) from None

    for name, template in TEMPLATES.items():
        student = train(
            TrainConfig(
                model_key=given.model_key,
                template=template,
                train_key=template,
                save_name=template,
                downsample=share,
                lora_rank=8,
                lr=1e-3,
                epochs=2,
                **where,
            )
        )
        measured = evaluate(
            EvaluateConfig(
                model_key=given.model_key,
                load_model_dir=student.checkpoint,
                limit=given.test,
                max_reasoning_tokens=192,
                **where,
            )
        )
        print(f"{name}: {measured.accuracy:.1%} ± {measured.stderr:.1%}, n = {measured.n}")


if __name__ == "__main__":
    main()
