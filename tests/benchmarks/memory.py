"""Memory at the peak of a training beside what `train` says before it begins, on a CPU (Linux).

    python tests/benchmarks/memory.py --method qlora --batch-size 4

prints one JSON object; further words are those of `ftcot train`. Peaks are of resident memory, over what the
process had before the model was loaded; what reading the model's file takes on the way is left out.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from finetune_cot.config.options import build
from finetune_cot.config.train import TrainConfig


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Bytes as estimated and as measured, of a few steps of training."""
    from finetune_cot.pipeline.recorded_dev_set import mean_loss
    from finetune_cot.pipeline.train_data import read_training_data
    from finetune_cot.pipeline.train_plan import divided, plan_run
    from finetune_cot.pipeline.trainable import encode_parts, load_trainable, training_settings
    from finetune_cot.pipeline.training_memory import training_memory
    from finetune_cot.training.fit import fine_tune
    from finetune_cot.training.settings import Processes

    config = build(TrainConfig, {"epochs": 1, "downsample": 0.05, "dev_fraction": 0.05, **options})
    data = read_training_data(config)
    plan = plan_run(config, config.run, data, divided(data, config), "cpu", Processes())
    _warm_up(config)
    before = _status("VmRSS")
    model, loaded = load_trainable(config, "cpu")
    examples = encode_parts(plan.parts, data.template, config.max_length, loaded)
    dev_loss = mean_loss(model, loaded.tokenizer.pad_token_id, examples.dev)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        outcome = fine_tune(
            model,
            loaded.tokenizer.pad_token_id,
            examples.train,
            examples.dev,
            training_settings(config, "cpu"),
            Path(folder),
            lambda _: None,
        )
    peak, processor = _status("VmHWM") - before, time.process_time() - started
    del model
    estimate = training_memory(plan, examples)
    assert estimate is not None
    return {
        **options,
        "samples": len(examples.train),
        "tokens of the largest batch": estimate.batch_tokens,
        "estimated": estimate.total,
        "measured": peak,
        "ratio": round(estimate.total / peak, 3),
        "train loss": outcome.epochs[-1].train_loss,
        "dev loss before": dev_loss,
        "dev loss": outcome.epochs[-1].dev_loss,
        "seconds per sample": outcome.seconds / outcome.samples_seen,
        "processor seconds": processor,
    }


def _warm_up(config: TrainConfig) -> None:
    """Let imports and thread pools take their memory beforehand."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.config.training import QUANTIZED_METHODS
    from finetune_cot.pipeline.trainable import begin_training, training_settings
    from finetune_cot.training.fit import fine_tune

    if config.method in QUANTIZED_METHODS:
        import bitsandbytes  # noqa: F401
    size = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**size, num_key_value_heads=2, vocab_size=64))
    example = EncodedExample(0, "task", tuple(range(8)), tuple(range(8)))
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        fine_tune(
            begin_training(model, config, "tiny"),
            0,
            [example] * 4,
            [example],
            training_settings(config, "cpu"),
            Path(folder),
            lambda _: None,
        )


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words = parser.parse_known_args()[1]
    options = {
        name.removeprefix("--"): _value(value) for name, value in zip(words[::2], words[1::2], strict=True)
    }
    print(json.dumps(measure(options)))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


if __name__ == "__main__":
    main()
