"""What ways of fine-tuning need and give on a CPU, beside what `train` says before it begins.

    python -m tests.benchmarks.memory [--rounds 3] [--ways method=lora method=qlora,batch_size=8]

A way is a list of options of `ftcot train`, and ``--with`` holds those of all ways. Each run has a process
of its own, and the ways take turns; the first one is what the others are compared with. Prints one JSON
object with medians over the rounds: the memory of the process at its peak, as `train` tells it, and as it was
estimated; seconds a sample of training, by the clock and of the processor; and the dev loss before and after.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from finetune_cot.config.options import build
from finetune_cot.config.train import TrainConfig

DATA = "dataset_key=bundled_one_step_word_problem,downsample=0.08,dev_fraction=0.05,epochs=1,batch_size=4"
WAYS = ["method=lora", "method=qlora", "method=full"]
RELATIVE = ("peak_memory_bytes", "seconds_per_sample", "processor_seconds_per_sample")


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Train in this process, and then measure the loss that it began with."""
    from finetune_cot.pipeline.recorded_dev_set import mean_loss
    from finetune_cot.pipeline.train import train
    from finetune_cot.pipeline.train_data import read_training_data
    from finetune_cot.pipeline.train_plan import divided
    from finetune_cot.pipeline.trainable import encode_parts, load_trainable
    from finetune_cot.training import fit

    spent: list[float] = []
    fine_tune = fit.fine_tune

    def timed(*args: Any) -> Any:
        started = time.process_time()
        outcome = fine_tune(*args)
        spent.append(time.process_time() - started)
        return outcome

    fit.fine_tune = timed
    with tempfile.TemporaryDirectory() as folder:
        config = build(TrainConfig, {**options, "saved_dir": folder})
        result = train(config)
    data = read_training_data(config)
    model, loaded = load_trainable(config, "cpu")
    dev = encode_parts(divided(data, config), data.template, config.max_length, loaded).dev
    return {
        "estimated_memory_bytes": result.estimated_memory_bytes,
        "peak_memory_bytes": result.peak_memory_bytes,
        "seconds_per_sample": result.seconds_per_sample,
        "processor_seconds_per_sample": spent[0] / (result.samples * config.epochs),
        "dev_loss_before": mean_loss(model.eval(), loaded.tokenizer.pad_token_id, dev),
        "dev_loss": result.dev_loss,
        "samples": result.samples,
        "dev_samples": result.dev_samples,
    }


def options_of(words: str) -> dict[str, Any]:
    return {
        name: _value(value) for name, _, value in (word.partition("=") for word in words.split(",") if word)
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def figures(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each way, how near the estimate is, and what the way needs beside the first one."""
    medians = {
        way: {name: statistics.median(run[name] for run in found) for name in found[0]}
        for way, found in runs.items()
    }
    first = next(iter(medians.values()))
    return {
        way: {
            **found,
            "estimated_over_peak": round(found["estimated_memory_bytes"] / found["peak_memory_bytes"], 3),
            **{f"{name}_beside_the_first": round(found[name] / first[name], 3) for name in RELATIVE},
        }
        for way, found in medians.items()
    }


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    parser.add_argument("--with", dest="common", default=DATA, help=f"default: {DATA}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(json.loads(given.one))))
        return
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in given.ways}
    for number in range(given.rounds):
        for way in given.ways:
            options = options_of(given.common) | options_of(way)
            command = [sys.executable, str(Path(__file__)), "--one", json.dumps(options)]
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs[way].append(json.loads(ran.stdout))
            print(f"round {number + 1}, {way}: {runs[way][-1]}", file=sys.stderr)
    print(json.dumps({"rounds": given.rounds, "common": given.common, "ways": figures(runs)}))


if __name__ == "__main__":
    main()
