"""Which of 20 groups of additions hold wrong sums? GradEx tells from a single training.

    python examples/noisy_addition.py [--seeds 8] [--out noisy_addition]

12 groups of 25 samples are additions as they should be; in 8 groups every sum is that of other numbers. A
GPT-2 of two layers is trained from scratch on all of them, a projected gradient is taken of every sample at
several points of that training, and the loss on clean additions is estimated for 200 random subsets of 7
groups. A group's ensemble score is the mean estimate over the subsets that hold it: the higher, the noisier.
Prints one JSON object and draws the scores.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from sklearn.metrics import roc_auc_score
from transformers import GPT2Config, GPT2LMHeadModel

from finetune_cot.batches.collation import collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.estimation.estimates import EstimatorSettings
from finetune_cot.estimation.features import Features, TaskGradients, task_means, unit_rows
from finetune_cot.estimation.registry import ESTIMATORS
from finetune_cot.estimation.subsets import random_subsets
from finetune_cot.gradients.per_sample import SampleGradients, recording
from finetune_cot.gradients.projection import Projection, Projector
from finetune_cot.reporting.charts import Cloud, Panel, ScatterChart
from finetune_cot.reporting.figures import save_figures
from finetune_cot.selection.ensemble import ensemble_scores
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.weights import trainable_weights

GROUPS, NOISY_GROUPS, GROUP_SAMPLES, DEV_SAMPLES = 20, 8, 25, 200
SUBSETS, SUBSET_GROUPS = 200, 7
DEV = GROUPS
"""Number of the task that has dev samples alone: clean additions that nothing is trained on."""
TASKS = (*(f"group {number:02}" for number in range(GROUPS)), "clean additions")

NUMBERS = 30
"""Numbers from 0 to 29 are added."""
CHARACTERS = "0123456789+="
PADDING = len(CHARACTERS)

POINTS = (8, 10, 12, 14)
"""Epochs after which gradients are taken. At random weights they tell nothing of additions (AUC .50); after
dozens of epochs the model knows wrong sums by heart. Chosen, like the ridge, with seeds from 100 on."""
BATCH, LEARNING_RATE = 50, 1e-3
PROJECT_DIM, RIDGE = 1024, 1.0


@dataclass(frozen=True)
class Point:
    """What is taken at a point of the training."""

    train: SampleGradients
    dev: SampleGradients
    weight_norm: float
    parameters: int


@dataclass(frozen=True)
class Additions:
    """The samples of one draw."""

    train: tuple[EncodedExample, ...]
    dev: tuple[EncodedExample, ...]
    is_noisy: Bool[ndarray, " groups"]


def draw_additions(seed: int) -> Additions:
    """All groups' samples, and dev samples that are clean; no two of them ask the same."""
    random = np.random.default_rng(seed)
    is_noisy = random.permutation(GROUPS) < NOISY_GROUPS
    train, dev = [], []
    for index, question in enumerate(random.permutation(NUMBERS**2)[: GROUPS * GROUP_SAMPLES + DEV_SAMPLES]):
        first, second = divmod(int(question), NUMBERS)
        group, total = index // GROUP_SAMPLES, first + second
        while group < DEV and is_noisy[group] and total == first + second:
            total = int(random.integers(NUMBERS, size=2).sum())  # so that right and wrong sums look alike
        if group < DEV:
            train.append(encode(index, group, first, second, total))
        else:
            dev.append(encode(index, DEV, first, second, total))
    return Additions(tuple(train), tuple(dev), is_noisy)


def encode(index: int, task: int, first: int, second: int, total: int) -> EncodedExample:
    """An addition with a token for each character, of which those of the sum carry loss."""
    ids = [CHARACTERS.index(character) for character in f"{first:02}+{second:02}={total:03}"]
    return EncodedExample(index, TASKS[task], tuple(ids), (*[IGNORED] * 6, *ids[6:]))


def new_model(seed: int) -> GPT2LMHeadModel:
    """A GPT-2 of two layers with random weights, and without dropout."""
    torch.manual_seed(seed)
    shape = {"n_positions": 16, "n_embd": 64, "n_layer": 2, "n_head": 4}
    special = {"vocab_size": PADDING + 1, "bos_token_id": PADDING, "eos_token_id": PADDING}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**shape, **special, **no_dropout))


def train_and_take(data: Additions, seed: int) -> list[Point]:
    """Train on all groups alike, and take gradients on the way."""
    model = new_model(seed)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    random = np.random.default_rng(seed)
    taken = []
    for epoch in range(1, max(POINTS) + 1):
        for places in np.split(random.permutation(len(data.train)), len(data.train) // BATCH):
            batch = collate([data.train[place] for place in places], PADDING)
            losses, tokens = sample_losses(model, batch)
            (losses.sum() / tokens.sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
        if epoch in POINTS:
            taken.append(take_gradients(model, data, seed))
    return taken


def take_gradients(model: GPT2LMHeadModel, data: Additions, seed: int) -> Point:
    """Projected gradients of the margins of training samples, and of the losses of dev samples.

    Of the weights of both layers; the embedding of positions is looked up once for a whole batch, so that its
    gradients would have to be taken one sample at a time.
    """
    model.requires_grad_(False)
    model.transformer.h.requires_grad_(True)
    weights = trainable_weights(model)
    shapes = {name: weight.shape for name, weight in weights.items()}
    projector = Projector(Projection("count-sketch", PROJECT_DIM, seed), shapes, "cpu")
    with recording(model, projector) as record:
        train = record(collate(data.train, PADDING), "margin")
        dev = record(collate(data.dev, PADDING), "loss")
    model.requires_grad_(True)
    norm = math.sqrt(sum(float(weight.pow(2).sum()) for weight in weights.values()))
    return Point(train, dev, norm, projector.parameters)


def gathered(data: Additions, points: Sequence[Point]) -> Features:
    """What the estimators take."""
    task = np.array([TASKS.index(example.task) for example in data.train])
    dev_task = np.array([TASKS.index(example.task) for example in data.dev])
    order = np.argsort(task, kind="stable")
    rows = [point.train.features.numpy()[order] for point in points]
    dev_losses = np.stack([point.dev.losses.numpy() for point in points], axis=1)
    return Features(
        tasks=TASKS,
        train_rows=rows.__getitem__,
        train_task=task[order],
        train_margins=np.stack([point.train.margins.numpy()[order] for point in points]),
        train=_of_tasks(rows, task[order]),
        dev=_of_tasks([point.dev.features.numpy() for point in points], dev_task),
        dev_losses=task_means(dev_losses, dev_task, len(TASKS)).T,
        weight_norms=np.array([point.weight_norm for point in points]),
        parameters=points[0].parameters,
    )


def _of_tasks(
    rows: Sequence[Float[ndarray, "samples proj"]], task: Int[ndarray, " samples"]
) -> TaskGradients:
    means = np.stack([task_means(of_point, task, len(TASKS)) for of_point in rows])
    return TaskGradients(means, task_means(unit_rows(rows[-1]), task, len(TASKS)))


def group_scores(features: Features, seed: int) -> Float[ndarray, " groups"]:
    """Ensemble score of each group for the loss on clean additions, nats a token."""
    subsets = random_subsets(GROUPS, SUBSET_GROUPS, SUBSETS, seed)
    losses = ESTIMATORS["gradex"](features, subsets, EstimatorSettings(ridge=RIDGE)).losses
    return ensemble_scores(subsets, losses, DEV)[:GROUPS]


def panel(seed: int, scores: Float[ndarray, " groups"], is_noisy: Bool[ndarray, " groups"]) -> Panel:
    """A seed's scores, by group."""
    clouds = [
        Cloud(label, tuple(np.flatnonzero(chosen).tolist()), tuple(scores[chosen].tolist()), colour)
        for label, chosen, colour in (("clean", ~is_noisy, 0), ("noisy", is_noisy, 1))
    ]
    return Panel(f"seed {seed}", f"AUC {roc_auc_score(is_noisy, scores):.3f}", tuple(clouds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment with several seeds, each with data, weights and subsets of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="how many seeds, from 0")
    parser.add_argument("--out", type=Path, default=Path("noisy_addition"), help="folder of the figure")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    panels, areas = [], []
    for seed in range(options.seeds):
        data = draw_additions(seed)
        scores = group_scores(gathered(data, train_and_take(data, seed)), seed)
        areas.append(float(roc_auc_score(data.is_noisy, scores)))
        panels.append(panel(seed, scores, data.is_noisy))
    options.out.mkdir(parents=True, exist_ok=True)
    title = "Ensemble scores of groups: the estimated loss on clean additions"
    chart = ScatterChart("scores", title, "group", "nats a token", tuple(panels), identity=False)
    figures = save_figures([chart], options.out, ["png"], lambda done: None)
    told = {
        "auc": areas,
        "auc_mean": statistics.fmean(areas),
        "auc_std": statistics.stdev(areas) if len(areas) > 1 else None,
        "seeds": len(areas),
        "groups": {"clean": GROUPS - NOISY_GROUPS, "noisy": NOISY_GROUPS},
        "subsets": SUBSETS,
        "figure": str(options.out / figures[0]),
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
