"""A whole second road on a tiny model, for tests of what comes after it."""

import json
from pathlib import Path
from typing import Any

from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.train import train

POINTS = ("pretrained", "0.5", "meta")


def second_road(folder: Path, model: Path, *, true_runs: bool = True) -> dict[str, Any]:
    """Meta-training, gradients of 256 numbers, eight true runs of two of five tasks; gives the options."""
    rows = [
        {"prompt": f"{task} {number}\n", "completion": f"{word} {word}", "skill": task}
        for task, word in (("double", "aa"), ("once", "bb"), ("triple", "aa"), ("zero", "cc"), ("five", "dd"))
        for number in range(8)
    ]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {
        "model_key": str(model),
        "data_path": str(folder / "tasks.jsonl"),
        "dev_fraction": 0.25,
        "devices": ("cpu",),
        "lora_rank": 2,
        "saved_dir": folder / "saved",
    }
    training: dict[str, Any] = {"epochs": 3, "lr": 0.02}
    train(TrainConfig(**options, **training))
    grads(GradsConfig(**options, project_dim=256, points=POINTS))
    if true_runs:
        sample_truth(SampleTruthConfig(**options, **training, number_of_subsets=8, subset_size="2"))
    return options
