"""Made-up truths and estimates under saved/results, written by the parts that really write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.files import write_json_atomic
from finetune_cot.artifacts.manifest import Manifest, start, to_dict
from finetune_cot.artifacts.results import ResultRow, write_results

TASKS = ("add", "coin_flip", "dates", "gsm8k", "last_letter", "lists", "strategy_qa", "svamp")
NAME = "Instruction_m_lora_r_4"
ESTIMATES = f"{NAME}_dim_400_run_0"
Subset = tuple[int, ...]


def subsets(number: int, tasks: int = len(TASKS), size: int = 4, seed: int = 0) -> list[Subset]:
    random = np.random.default_rng(seed)
    return [tuple(sorted(random.choice(tasks, size, replace=False).tolist())) for _ in range(number)]


def losses(listed: Sequence[Subset], tasks: int = len(TASKS)) -> Float[ndarray, "subsets tasks"]:
    """Losses of different heights; a task's own data help most, the others a little or not."""
    effects = np.random.default_rng(7).normal(-0.02, 0.04, size=(tasks, tasks)) - 0.25 * np.eye(tasks)
    held = np.array([[float(task in subset) for task in range(tasks)] for subset in listed])
    levels = np.linspace(0.8, 3.0, tasks)
    return levels * np.exp(held @ effects.T * min(1.0, 12 / tasks))


def noisy(values: Float[ndarray, "subsets tasks"], std: float, seed: int) -> Float[ndarray, "subsets tasks"]:
    return values + std * np.random.default_rng(seed).normal(size=values.shape)


def write_losses(
    path: Path,
    listed: Sequence[Subset],
    values: Float[ndarray, "subsets tasks"],
    names: Sequence[str] = TASKS,
    seconds: float | None = None,
) -> None:
    write_results(
        path,
        (
            ResultRow(subset, float(row.mean()), dict(zip(names, row.tolist(), strict=True)), seconds=seconds)
            for subset, row in zip(listed, values, strict=True)
        ),
    )


def write_seconds(path: Path, seconds: float) -> None:
    manifest: Manifest = start("test", {}).manifest()
    write_json_atomic(path, {**to_dict(manifest), "seconds": seconds})


def write_comparison(
    saved: Path,
    number: int = 40,
    names: Sequence[str] = TASKS,
    repeated: int = 6,
    estimates: str = ESTIMATES,
    truth_name: str = NAME,
    **stated: Any,
) -> None:
    """A truth with a repeated part, an estimate, a baseline of losses, two of scores, and what each cost."""
    results, tasks = saved / "results", len(names)
    listed = list(dict.fromkeys(subsets(number, tasks, tasks // 2)))
    true = losses(listed, tasks)
    write_losses(results / truth_name / "results.csv", listed, noisy(true, 0.01, 1), names, seconds=20.0)
    for run in (1, 2) if repeated else ():
        repeats = noisy(true, 0.01, 1 + run)[:repeated]
        path = results / f"{truth_name}_run_{run}" / "results.csv"
        write_losses(path, listed[:repeated], repeats, names)
    held = np.array([[float(task in subset) for task in range(tasks)] for subset in listed])
    methods: Mapping[str, tuple[str, bool, Float[ndarray, "subsets tasks"]]] = {
        "gradex": ("results.csv", True, noisy(true, 0.06, 5)),
        "additive datamodel": ("additive.csv", True, noisy(true, 0.15, 6)),
        "target is in the subset": ("membership.csv", False, -held),
        "gradient cosine": ("cosine.csv", False, noisy(-5 * held, 2.0, 8)),
    }
    for file, _, values in methods.values():
        write_losses(results / estimates / file, listed, values, names)
    write_json_atomic(
        results / estimates / "estimates.json",
        {
            "methods": {name: {"file": file, "is_loss": loss} for name, (file, loss, _) in methods.items()},
            "seconds": 4.0,
            "truth_name": truth_name,
        }
        | stated,
    )
    write_seconds(saved / "checkpoints" / f"{truth_name}_run_0" / "manifest.json", 40.0)
    write_seconds(saved / "gradients" / estimates / "manifest.json", 15.0)


def write_approximation(saved: Path, name: str = ESTIMATES) -> None:
    random = np.random.default_rng(0)
    distances = [0.02, 0.04, 0.06, 0.08, 0.1]
    spread = np.exp(0.3 * random.normal(size=(2, 5, 5)))
    write_json_atomic(
        saved / "gradients" / name / "approximation.json",
        {
            "distances": distances,
            "with_gradient": [
                (0.02 * d**2 * s).tolist() for d, s in zip(np.array(distances) * 10, spread[0], strict=True)
            ],
            "without_gradient": [
                (0.4 * d**1.5 * s).tolist() for d, s in zip(np.array(distances) * 10, spread[1], strict=True)
            ],
        },
    )
