"""How fast questions are answered in batches, beside plain ``model.generate`` with one at a time.

    python -m tests.benchmarks.evaluate [--questions 32] [--max-new-tokens 48] [--batch-size 32] [--repeats 3]

Both ways give the embedded SmolLM2-135M-Instruct the same prompts, greedily and with the same limit of new
tokens; ours is the local teacher that `ftcot evaluate` uses. Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any

import torch

from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.prompts.templates import prompt_text
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Sample
from finetune_cot.tasks.splits import load_split
from finetune_cot.teachers.local import LocalTeacher
from finetune_cot.teachers.protocol import Recipe, TeachRequest

DATASET = "bundled_one_step_word_problem"
TEMPLATE = "ft_cot_natural"
"""One step, with a rationale."""


def questions(count: int) -> list[Sample]:
    """The first questions of the test part."""
    dataset = load_dataset(DATASET, None)
    test = set(load_split(dataset, None).test)
    return [sample for sample in dataset.samples if sample.sample_index in test][:count]


def in_batches(loaded: LoadedModel, samples: list[Sample], batch_size: int, max_new_tokens: int) -> list[Any]:
    """Completions by the local teacher."""
    recipe = Recipe(template=TEMPLATE, max_reasoning_tokens=max_new_tokens)
    requests = [TeachRequest(sample, 0) for sample in samples]
    teacher = LocalTeacher(loaded, batch_size)
    return [completion for batch in teacher.teach(requests, recipe, done=()) for completion in batch]


def one_by_one(loaded: LoadedModel, samples: list[Sample], max_new_tokens: int) -> list[str]:
    """Completions by transformers alone."""
    texts = []
    for sample in samples:
        prompt = loaded.tokenizer(prompt_text(TEMPLATE, sample.question), return_tensors="pt")
        ids = loaded.model.generate(**prompt, max_new_tokens=max_new_tokens, do_sample=False)
        new = ids[0, prompt.input_ids.shape[1] :]
        texts.append(loaded.tokenizer.decode(new, skip_special_tokens=True))
    return texts


def main() -> None:
    """Time both ways in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    loaded = load_model("SmolLM2-135M-Instruct", device="cpu")
    samples = questions(options.questions)
    limit = options.max_new_tokens
    ways = {
        "batched": lambda few: in_batches(loaded, few, options.batch_size, limit),
        "one_by_one": lambda few: one_by_one(loaded, few, limit),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, list[Any]] = {}
    for way in ways.values():
        way(samples[:2])
    for _ in range(options.repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            texts[name] = way(samples)
            seconds[name].append(time.perf_counter() - wall)
            cpu_seconds[name].append(time.process_time() - cpu)
    ratios = [one / ours for ours, one in zip(seconds["batched"], seconds["one_by_one"], strict=True)]
    by_key = {completion.sample_index: completion.completion for completion in texts["batched"]}
    same = sum(
        by_key[sample.sample_index] == text for sample, text in zip(samples, texts["one_by_one"], strict=True)
    )
    report = {
        "speedup_to_one_by_one": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "cpu_time_ratio": statistics.median(cpu_seconds["one_by_one"])
        / statistics.median(cpu_seconds["batched"]),
        "questions": len(samples),
        "same_texts": same,
        "questions_per_second": {
            name: len(samples) / statistics.median(values) for name, values in seconds.items()
        },
        "completion_tokens_mean": statistics.mean(
            item.extra["completion_tokens"] for item in texts["batched"]
        ),
        "max_new_tokens": limit,
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
