"""What per-sample gradients cost beside a training step, the published algorithm and bergson.

    python -m tests.benchmarks.grads [--rounds 5] [--parts step,seed,bf16,memory,padding]
        [--bergson-python PATH] [--data-path FILE] [--rest SECONDS]

Prints one JSON object. The model is the embedded SmolLM2 with LoRA of rank 4 on q, k and v, in float32;
batches are of 8 samples (for the published algorithm also 16) of 128 tokens, of which the last half or all
are labels.
All ways take turns in every round, so that a busy machine slows all of them down; a ratio is the median over
the rounds of the ratios within one.

* ``ratio_to_step``: seconds per sample over those of forward and backward of ``model(..., labels=...)`` into
  the LoRA parameters; the larger of the two dimensions', with half of the tokens labelled.
* ``ratio_to_seed``, ``ratio_to_bergson``: how many times faster than these; the smallest of all cases.
* ``memory_to_step``: peak resident memory over the step's, each in a process of its own; the larger case.
* ``bf16_to_step``: the gradients under ``bf16-true`` over the *float32* step.

Ratios of ``cpu`` are of processor time of all threads, which other work on the machine disturbs less.

``--bergson-python`` names the interpreter of an environment with bergson 2.5.1 and peft; without it its
figures are null. ``--rest`` sleeps between rounds, where other work on the machine shall go on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from finetune_cot.batches.budget import BudgetBatches
from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED, encode
from finetune_cot.config.train import TrainConfig
from finetune_cot.gradients.per_sample import recording
from finetune_cot.gradients.projection import Projection, Projector
from finetune_cot.models.embedded import embedded_model_folder
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.pipeline.train_data import read_training_data, text_segments
from finetune_cot.training.lora import add_lora
from finetune_cot.training.weights import trainable_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.benchmarks.grads_baselines import LORA, seed_features, seed_projection, training_step

TOKENS = 128
DIMS = (100, 4096)
LABELS = {"half": TOKENS // 2, "all": TOKENS}
LOSSES = ("ce", "log_odds")
"""What bergson can take gradients of; the faster one counts."""

Seconds = tuple[float, float]
"""A sample's, by the clock on the wall and of processor time."""

Ways = dict[str, Callable[[], Seconds]]
Taken = dict[str, list[Seconds]]
"""By way and round."""


def loaded_model(precision: str = "32-true") -> tuple[Any, LoadedModel]:
    """The model with LoRA whose B is random, as after some training."""
    loaded = load_model("SmolLM2-135M-Instruct", device="cpu", precision=precision)
    model = add_lora(loaded.model, base_name=loaded.base_name, **LORA).eval()
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            with torch.no_grad():
                parameter.copy_(0.02 * torch.randn(parameter.shape))
    return model, loaded


def token_ids(tokenizer: Any) -> list[int]:
    """Bundled rationales as one text."""
    texts = read_training_data(TrainConfig(dataset_key="bundled")).texts[::7][:400]
    ids: list[int] = tokenizer("\n".join(f"{text.question} {text.answer}" for text in texts)).input_ids
    return ids


def batch_of(ids: list[int], samples: int, labels: int) -> Batch:
    block = torch.tensor(ids[: samples * TOKENS]).view(samples, TOKENS)
    target = block.clone()
    target[:, : TOKENS - labels] = IGNORED
    places = tuple(range(samples))
    return Batch(block, torch.ones_like(block), target, ("task",) * samples, places, samples * labels)


def projector_of(model: Any, dim: int) -> Projector:
    shapes = {name: weight.shape for name, weight in trainable_weights(model).items()}
    return Projector(Projection("count-sketch", dim, 0), shapes, torch.device("cpu"))


def features(model: Any, batch: Batch, projector: Projector) -> torch.Tensor:
    with recording(model, projector) as record:
        return record(batch, "margin").features


def timed(work: Callable[[], Any], samples: int) -> Callable[[], Seconds]:
    def seconds() -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return (time.perf_counter() - wall) / samples, (time.process_time() - cpu) / samples

    return seconds


def recorded(model: Any, batch: Batch, dim: int) -> Callable[[], Seconds]:
    """Seconds a sample within a recorder, whose hooks are set once for a whole pass over the data."""
    projector = projector_of(model, dim)

    def seconds() -> Seconds:
        with recording(model, projector) as record:
            return timed(lambda: record(batch, "margin"), len(batch.input_ids))()

    return seconds


def step_ways(model: Any, ids: list[int]) -> Ways:
    ways: Ways = {}
    for name, labels in LABELS.items():
        batch = batch_of(ids, 8, labels)
        ways[f"step_{name}"] = timed(lambda batch=batch: training_step(model, batch), 8)  # type: ignore[misc]
        for dim in DIMS:
            ways[f"grads_{name}_{dim}"] = recorded(model, batch, dim)
    return ways


def seed_ways(model: Any, ids: list[int]) -> Ways:
    ways: Ways = {}
    projection = seed_projection(model, 100)
    for samples in (8, 16):
        batch = batch_of(ids, samples, LABELS["half"])

        def published(batch: Batch = batch) -> Any:
            return seed_features(model, batch, projection)

        ways[f"seed_{samples}"] = timed(published, samples)
    ways["grads_half_100_batch_16"] = recorded(model, batch_of(ids, 16, LABELS["half"]), 100)
    return ways


class Bergson:
    """A process in bergson's environment that measures on request."""

    def __init__(self, python: str, threads: int) -> None:
        worker = str(Path(__file__).with_name("grads_bergson.py"))
        self.process = subprocess.Popen(
            [python, worker, str(embedded_model_folder()), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def way(self, batch: Batch, dim: int, loss_fn: str) -> Callable[[], Seconds]:
        order = {"dim": dim, "loss_fn": loss_fn}
        order |= {"ids": batch.input_ids.tolist(), "labels": batch.labels.tolist()}

        def seconds() -> Seconds:
            assert self.process.stdin
            assert self.process.stdout
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            # Libraries print lines of their own.
            answer = next(line for line in self.process.stdout if line.startswith("["))
            wall, cpu = json.loads(answer)
            return wall / len(batch.input_ids), cpu / len(batch.input_ids)

        return seconds

    def ways(self, ids: list[int]) -> Ways:
        return {
            f"bergson_{name}_100_{loss_fn}": self.way(batch_of(ids, 8, labels), 100, loss_fn)
            for name, labels in LABELS.items()
            for loss_fn in LOSSES
        }

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(ways: Ways, rounds: int, rest: float) -> Taken:
    """Seconds of every way in every round; the order rotates."""
    taken: Taken = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        told(f"round {number} of {rounds}")
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds = ways[name]()
            # The first round warms up.
            if number:
                taken[name].append(seconds)
        if rest and number < rounds:
            told("rest")
            time.sleep(rest)
    return taken


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ratio(taken: Taken, over: str, under: str, clock: int) -> float | None:
    """Median over the rounds of the ratios within each."""
    if over not in taken or under not in taken:
        return None
    pairs = zip(taken[over], taken[under], strict=True)
    return round(statistics.median(one[clock] / other[clock] for one, other in pairs), 3)


def ratios(taken: Taken, clock: int = 0) -> dict[str, Any]:
    to_step = {
        f"{labels}_{dim}": ratio(taken, f"grads_{labels}_{dim}", f"step_{labels}", clock)
        for labels in LABELS
        for dim in DIMS
    }
    to_bergson = {
        f"{labels}_{loss_fn}": ratio(taken, f"bergson_{labels}_100_{loss_fn}", f"grads_{labels}_100", clock)
        for labels in LABELS
        for loss_fn in LOSSES
    }
    return {
        "ratio_to_step": _most(to_step["half_100"], to_step["half_4096"]),
        "ratio_to_step_all_labels": _most(to_step["all_100"], to_step["all_4096"]),
        "ratio_to_seed": ratio(taken, "seed_8", "grads_half_100", clock),
        "ratio_to_seed_batch_16": ratio(taken, "seed_16", "grads_half_100_batch_16", clock),
        "ratio_to_bergson": _least(*to_bergson.values()),
        "bf16_to_step": ratio(taken, "bf16_half_100", "step_half", clock),
        "bf16_to_its_step": ratio(taken, "bf16_half_100", "bf16_step_half", clock),
        "ratios_to_step": to_step,
        "ratios_to_bergson": to_bergson,
    }


def _most(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)


def _least(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return min(known, default=None)


def half_precision(model: Any, half: Any, ids: list[int]) -> dict[str, float]:
    """Agreement of bfloat16's inner products with float32's, over all pairs of 16 samples at d = 4096."""
    rows = [features(which, batch_of(ids, 16, 64), projector_of(which, 4096)) for which in (model, half)]
    pairs = torch.triu_indices(16, 16, 1)
    grams = torch.stack([(row @ row.T)[pairs[0], pairs[1]] for row in rows])
    return {
        "bf16_inner_product_correlation": round(float(torch.corrcoef(grams)[0, 1]), 6),
        "bf16_cosine_min": round(float(torch.cosine_similarity(rows[0], rows[1]).min()), 6),
    }


def memory(threads: int) -> dict[str, Any]:
    """Peak resident megabytes of each way in a process of its own."""
    cases = [f"{way}_{labels}" for way in ("step", "grads") for labels in LABELS]
    peaks = {}
    for case in cases:
        command = [sys.executable, __file__, "--peak-of", case, "--threads", str(threads)]
        peaks[case] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    to_step = {labels: round(peaks[f"grads_{labels}"] / peaks[f"step_{labels}"], 3) for labels in LABELS}
    return {"memory_to_step": max(to_step.values()), "memory_ratios": to_step, "peak_megabytes": peaks}


def peak_of(case: str) -> int:
    """Megabytes after three batches."""
    import resource

    way, labels = case.split("_")
    model, loaded = loaded_model()
    batch = batch_of(token_ids(loaded.tokenizer), 8, LABELS[labels])
    for _ in range(3):
        if way == "step":
            training_step(model, batch)
        else:
            features(model, batch, projector_of(model, 4096))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def padding(loaded: LoadedModel, data_path: str | None) -> dict[str, float]:
    """Tokens processed per real token, in batches of at most 2048 tokens."""
    config = TrainConfig(data_path=data_path) if data_path else TrainConfig(dataset_key="bundled")
    data = read_training_data(config)
    texts = data.texts[:: max(len(data.texts) // 2000, 1)]
    examples = [
        encode(
            loaded.tokenizer,
            loaded.model_type,
            text_segments(text, data.template, loaded.model_type, None),
            text.sample_index,
            text.task,
        )
        for text in texts
    ]
    batches = BudgetBatches(examples, 2048, loaded.tokenizer.pad_token_id)
    processed = sum(batch.input_ids.numel() for batch in batches)
    lengths = [example.length for example in examples]
    return {
        "tokens_per_real_token": round(processed / sum(lengths), 4),
        "samples_per_batch": round(len(examples) / len(batches), 2),
        "shortest": min(lengths),
        "longest": max(lengths),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", default="step,seed,bf16,memory,padding")
    parser.add_argument("--bergson-python")
    parser.add_argument("--data-path")
    parser.add_argument("--rest", type=float, default=0.0)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    if options.peak_of:
        print(peak_of(options.peak_of))
        return
    parts = options.parts.split(",")
    # Other processes' memory is measured before this one has any.
    found: dict[str, Any] = memory(options.threads) if "memory" in parts else {}
    model, loaded = loaded_model()
    ids = token_ids(loaded.tokenizer)
    if "padding" in parts:
        found |= padding(loaded, options.data_path)
    ways = step_ways(model, ids) if "step" in parts else {}
    if "seed" in parts:
        ways |= seed_ways(model, ids)
    bergson = Bergson(options.bergson_python, options.threads) if options.bergson_python else None
    if bergson:
        ways |= bergson.ways(ids)
    if "bf16" in parts:
        half, _ = loaded_model("bf16-true")
        found |= half_precision(model, half, ids)
        batch = batch_of(ids, 8, LABELS["half"])
        ways["bf16_half_100"] = recorded(half, batch, 100)
        ways["bf16_step_half"] = timed(lambda: training_step(half, batch), 8)
    taken = measure(ways, options.rounds, options.rest)
    if bergson:
        bergson.close()
    seconds = {
        name: [round(statistics.median(clock), 4) for clock in zip(*values, strict=True)]
        for name, values in taken.items()
    }
    spread = {name: [round(min(values)[0], 4), round(max(values)[0], 4)] for name, values in taken.items()}
    print(
        json.dumps(
            ratios(taken)
            | found
            | {"cpu": ratios(taken, clock=1)}
            | {"seconds_per_sample": seconds, "range_of_wall": spread, "rounds": options.rounds}
            | {"threads": torch.get_num_threads(), "torch": torch.__version__}
        )
    )


if __name__ == "__main__":
    main()
