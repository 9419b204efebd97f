"""How models and methods are called in a report, and in which order they stand."""

import re
from dataclasses import dataclass

from finetune_cot.reporting.findings import Measurement

METHODS = {
    "zs": "zero-shot",
    "zs_cot": "zero-shot-CoT",
    "fs_cot": "few-shot-CoT",
    "ft_token": "fine-tune (token)",
    "ft_natural": "fine-tune (natural)",
    "ft_cot_token": "fine-tune-CoT (token)",
    "ft_cot_natural": "fine-tune-CoT (natural)",
}
"""Names of the methods, by template, in the order in which they are shown."""
OWN_DATA = "*"
"""Stands for the data set that a student is measured on, in the name of what it was trained on."""


@dataclass(frozen=True)
class Naming:
    """What a row of a report is called."""

    model: str
    method: str
    training: str
    """What a student was trained on, and how; empty for a base model."""
    template: str
    rationales: int | None
    """Rationales of a question that a student was trained on, at most."""

    @property
    def order(self) -> tuple[object, ...]:
        """Key to sort rows by: model, base before students, then by method."""
        place = list(METHODS).index(self.template) if self.template in METHODS else len(METHODS)
        # 50 before 400: digits are compared as numbers
        training = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", self.training)]
        return self.model, self.is_student, place, self.rationales or 0, self.method, training

    @property
    def is_student(self) -> bool:
        """Whether the model was fine-tuned."""
        return self.training != ""


def naming(item: Measurement) -> Naming:
    """What the row of a measurement is called."""
    student = item.id.finetune_key is not None or item.id.train_key is not None
    rationales = rationales_of(item) if student else None
    method = METHODS.get(item.template, item.template)
    if student and not item.template.startswith("ft_"):
        method += " after fine-tuning"
    if rationales is not None and rationales > 1:
        method += f" + diverse reasoning, k = {rationales}"
    if item.temperature:
        method += f", {item.samples} sampled at {item.temperature:g}"
    return Naming(item.id.base_model, method, _training(item), item.template, rationales)


def rationales_of(item: Measurement) -> int | None:
    """Rationales of a question that a student learned from, by its metadata or its preset's name."""
    if item.student is not None:
        return item.student.rationales_per_question
    preset = re.search(r"(?:^|_)(\d+)aug(?:_|$)", item.id.finetune_key or "", re.ASCII)
    return int(preset[1]) if preset else None


def train_key_and_run(train_key: str) -> tuple[str, int]:
    """A train key without its run, and the run: ``lora_run_2`` is run 2 of ``lora``.

    What follows the run, as in ``lora_run_2_best``, stays with the key.
    """
    found = re.fullmatch(r"(.+)_run_([1-9]\d*)(_best|_merged|)", train_key, re.ASCII)
    return (found[1] + found[3], int(found[2])) if found else (train_key, 0)


def _training(item: Measurement) -> str:
    data, dataset = item.id.finetune_key, item.id.dataset_key
    if data == dataset:
        data = OWN_DATA
    elif data is not None and data.endswith(f"_{dataset}"):
        data = data.removesuffix(dataset) + OWN_DATA
    train_key = None if item.id.train_key is None else train_key_and_run(item.id.train_key)[0]
    return ", ".join(part for part in (data, train_key) if part is not None)
