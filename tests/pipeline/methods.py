"""Every way of fine-tuning, what it is called, and data to try it on."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.pipeline.evaluate import EvaluateResult, evaluate
from tests.adapters_library import with_adapters
from tests.glue_files import write_glue

LORA: dict[str, Any] = {"method": "lora"}
QLORA: dict[str, Any] = {"method": "qlora", "lora_targets": ("all-linear",)}
LAYERS: dict[str, Any] = {"method": "full", "train_layers": ("last-1",)}
FULL: dict[str, Any] = {"method": "full", "freeze_head": True}
ADAPTER: dict[str, Any] = {"method": "adapter", "reduction_factor": 4.0}
QADAPTER: dict[str, Any] = {"method": "qadapter", "reduction_factor": 4.0}
ADAPTED = [
    pytest.param(LORA, "_lora_r_4_run_0", id="lora"),
    pytest.param(QLORA, "_lora_r_4_qlora_run_0", id="qlora"),
    pytest.param(ADAPTER, "_adapter_rf_4_run_0", id="adapter", marks=with_adapters),
    pytest.param(QADAPTER, "_adapter_rf_4_qadapter_run_0", id="qadapter", marks=with_adapters),
]
METHODS = [
    *ADAPTED,
    pytest.param(LAYERS, "_layers-last-1_run_0", id="layers"),
    pytest.param(FULL, "_frozen-head_run_0", id="full"),
]
CLASSIFIERS = [
    *(
        pytest.param("llama", method.values[0], id=f"{method.id}-llama", marks=method.marks)
        for method in METHODS
    ),
    pytest.param("bert", LORA, id="lora-bert"),
    pytest.param("bert", FULL, id="full-bert"),
    pytest.param("bert", ADAPTER, id="adapter-bert", marks=with_adapters),
    pytest.param("t5", QLORA, id="qlora-t5"),
]
TRAINING: dict[str, Any] = {"epochs": 2, "lr": 0.01, "batch_size": 4}
CLASSIFYING: dict[str, Any] = {"epochs": 4, "lr": 3e-3, "batch_size": 8}


def three_tasks(folder: Path, model: object) -> dict[str, Any]:
    """Options of every command about training, with instruction data of three tasks."""
    rows = [
        {"prompt": f"{task} {number}\n", "completion": f"{number * factor}", "skill": task}
        for factor, task in enumerate(("double", "once", "triple"), start=1)
        for number in range(5)
    ]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model_key": str(model),
        "data_path": str(folder / "tasks.jsonl"),
        "saved_dir": folder / "saved",
        "dev_fraction": 0.25,
        "devices": ("cpu",),
    }


GLUE_TASKS = "glue/sst2+glue/rte"


def two_glue_tasks(folder: Path, model: object) -> dict[str, Any]:
    """Options of every command about training, with two of GLUE's tasks."""
    return {
        "model_key": str(model),
        "dataset_key": GLUE_TASKS,
        "data_dir": write_glue(folder / "data", ("sst2", "rte")),
        "saved_dir": folder / "saved",
        "dev_fraction": 0.25,
        "devices": ("cpu",),
    }


def ask_classifier(options: dict[str, Any], task: str, **named: Any) -> EvaluateResult:
    """Have a classifier answer: the one that was trained with these options, or another."""
    known = {name: options[name] for name in ("data_dir", "saved_dir", "model_key")}
    named = named or {"finetune_key": GLUE_TASKS, "train_key": options.get("method", "lora")}
    return evaluate(EvaluateConfig(**known, dataset_key=f"glue/{task}", **named, device="cpu"))
