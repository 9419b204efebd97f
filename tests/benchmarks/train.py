"""What training through Lightning costs beside a bare PyTorch loop on the same batches.

    python -m tests.benchmarks.train [--rounds 5] [--batches 6]

Prints one JSON object. The model is the embedded SmolLM2 with LoRA of rank 4, in float32. Three ways take
turns, and each figure is a median over the rounds:

* ``ours``: `fine_tune` from the first batch's start to the last one's end, with collation and logs;
* ``bare``: ``model(..., labels=...)``, backward, clip, AdamW and schedule, on batches padded beforehand;
* ``bare_at_labels``: the same, with the logits computed at label positions only, as ours does.

Figures of ``cpu`` are processor time of all threads, which other work on the machine disturbs less.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import get_scheduler

from finetune_cot.batches.collation import Batch, ShuffledBatches
from finetune_cot.batches.encoding import EncodedExample, encode
from finetune_cot.config.train import TrainConfig
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.pipeline.train_data import read_training_data, text_segments
from finetune_cot.training.fit import fine_tune
from finetune_cot.training.lora import add_lora
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.settings import TrainingSettings

BATCH_SIZE = 8
SETTINGS = TrainingSettings(epochs=1, lr=3e-4, batch_size=BATCH_SIZE, warmup=0.0)

Seconds = tuple[float, float]
"""Wall clock and processor time."""


def now() -> Seconds:
    return time.perf_counter(), time.process_time()


def since(start: Seconds) -> Seconds:
    wall, cpu = now()
    return wall - start[0], cpu - start[1]


def training_samples(loaded: LoadedModel, count: int) -> list[EncodedExample]:
    """Bundled rationales of all tasks, evenly."""
    data = read_training_data(TrainConfig(dataset_key="bundled"))
    texts = data.texts[:: max(len(data.texts) // count, 1)][:count]
    return [
        encode(
            loaded.tokenizer,
            loaded.model_type,
            text_segments(text, data.template, loaded.model_type, None),
            text.sample_index,
            text.task,
        )
        for text in texts
    ]


def ours(model: Any, examples: list[EncodedExample], pad: int) -> Seconds:
    """Seconds of `fine_tune` between the first batch's start and the last one's end."""
    marks: list[Seconds] = []

    def report(done: int) -> None:
        marks.append(now())

    with tempfile.TemporaryDirectory() as folder:
        fine_tune(model, pad, examples, [], SETTINGS, Path(folder), report)
    (wall, cpu), (wall_end, cpu_end) = marks[0], marks[-1]
    return wall_end - wall, cpu_end - cpu


def bare(model: Any, batches: list[Batch], loss_of: Callable[[Any, Batch], torch.Tensor]) -> Seconds:
    """Seconds of the loop that one would write without a library."""
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=SETTINGS.lr, weight_decay=0.0)
    scheduler = get_scheduler("linear", optimizer, 0, len(batches))
    start = now()
    for batch in batches:
        loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(parameters, SETTINGS.gradient_clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return since(start)


def plain_loss(model: Any, batch: Batch) -> torch.Tensor:
    loss: torch.Tensor = model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
    ).loss
    return loss


def loss_at_labels(model: Any, batch: Batch) -> torch.Tensor:
    losses, tokens = sample_losses(model, batch)
    return losses.sum() / tokens.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=6)
    options = parser.parse_args()
    loaded = load_model("SmolLM2-135M-Instruct", device="cpu")
    pad = loaded.tokenizer.pad_token_id
    examples = training_samples(loaded, options.batches * BATCH_SIZE)
    model = add_lora(
        loaded.model, base_name=loaded.base_name, rank=4, alpha=32, dropout=0.0, targets=None, seed=0
    )
    batches = list(ShuffledBatches(examples, BATCH_SIZE, pad, SETTINGS.seed))
    ways: dict[str, Callable[[], Seconds]] = {
        "ours": lambda: ours(model, examples, pad),
        "bare": lambda: bare(model, batches, plain_loss),
        "bare_at_labels": lambda: bare(model, batches, loss_at_labels),
    }
    bare(model, batches[:1], plain_loss)
    taken: dict[str, list[Seconds]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(options.rounds):
        # The order rotates, so that no way always comes after the same other one.
        for name in names[number % 3 :] + names[: number % 3]:
            taken[name].append(ways[name]())
    print(json.dumps(figures(taken, examples, batches)))


def figures(
    taken: dict[str, list[Seconds]], examples: list[EncodedExample], batches: list[Batch]
) -> dict[str, Any]:
    """Medians by way and clock, and the ratios of ours to the bare loops."""
    medians = {
        name: {
            clock: statistics.median(seconds[position] for seconds in rounds) / len(examples)
            for position, clock in enumerate(("wall", "cpu"))
        }
        for name, rounds in taken.items()
    }
    mine = medians["ours"]
    return {
        "ratio_to_bare_loop": round(mine["wall"] / medians["bare"]["wall"], 4),
        "ratio_to_bare_loop_cpu": round(mine["cpu"] / medians["bare"]["cpu"], 4),
        "ratio_to_bare_loop_at_labels": round(mine["wall"] / medians["bare_at_labels"]["wall"], 4),
        "ratio_to_bare_loop_at_labels_cpu": round(mine["cpu"] / medians["bare_at_labels"]["cpu"], 4),
        "seconds_per_sample": medians,
        "samples": len(examples),
        "rounds": len(taken["ours"]),
        "tokens_per_sample": sum(example.length for example in examples) / len(examples),
        "padded_tokens_per_sample": sum(batch.input_ids.numel() for batch in batches) / len(examples),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
