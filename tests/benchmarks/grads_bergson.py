"""Measures bergson in an environment of its own, on orders from `tests/benchmarks/grads.py`.

    python tests/benchmarks/grads_bergson.py MODEL_FOLDER THREADS < orders

Takes a JSON object a line: ``ids`` and ``labels`` of a batch, ``dim`` and ``loss_fn``. Answers each with the
seconds, by the wall and of processor time, that per-sample gradients, projected globally, took.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bergson
import torch
from bergson.collector.collector import CollectorComputer
from bergson.collector.in_memory_collector import InMemoryCollector
from bergson.utils.peft import detect_peft_modules
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def load(folder: str) -> Any:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=32, lora_dropout=0.0, target_modules=["q_proj", "k_proj", "v_proj"])
    model = get_peft_model(base, config).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model


class Collection:
    """Bergson's collector for one width and loss, kept from batch to batch."""

    def __init__(self, model: Any, samples: int, tokens: int, dim: int, loss_fn: str) -> None:
        processor = bergson.GradientProcessor(projection_dim=dim, projection_target="global")
        self.model = model
        run = str(Path(tempfile.mkdtemp()) / "run")
        config = bergson.IndexConfig(
            run_path=run, projection_dim=dim, projection_target="global", loss_fn=loss_fn
        )
        data = Dataset.from_dict({"input_ids": [[1] * tokens] * samples, "length": [tokens] * samples})
        self.collector = InMemoryCollector(
            model=model.base_model,
            data=data,
            cfg=config,
            processor=processor,
            target_modules=detect_peft_modules(model),
        )
        self.computer = CollectorComputer(
            model=model, data=data, collector=self.collector, batches=[list(range(samples))], cfg=config
        )

    def seconds(self, ids: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
        mask = torch.ones_like(ids, dtype=torch.bool)
        wall, cpu = time.perf_counter(), time.process_time()
        with self.collector.with_batch(mask):
            losses = self.computer.forward_backward(self.model, ids, labels, {})
        self.collector.process_batch(list(range(len(ids))), losses=losses)
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # Bergson logs to the standard output, which is for answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model = load(folder)
    collections: dict[tuple[int, str], Collection] = {}
    for line in sys.stdin:
        order = json.loads(line)
        ids, labels = torch.tensor(order["ids"]), torch.tensor(order["labels"])
        key = (order["dim"], order["loss_fn"])
        if key not in collections:
            collections[key] = Collection(model, *ids.shape, *key)
        answers.write(json.dumps(collections[key].seconds(ids, labels)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
