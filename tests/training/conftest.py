"""Tiny models and samples to train on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_cot.batches.encoding import EncodedExample, encode, encode_choice
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.label_space import LabelSpace
from finetune_cot.tasks.sample import Sample

FAMILIES = ("llama", "gpt2", "t5")
CLASSIFIER = "classifier"
LABELS = LabelSpace({"even": ("few", "many"), "odd": ("few", "many")})
Load = Callable[[str], LoadedModel]


@pytest.fixture
def load(
    tiny_llama_dir: Path, tiny_gpt2_dir: Path, tiny_t5_dir: Path, wide_model_dirs: dict[str, Path]
) -> Load:
    """A function that loads a fresh tiny model of a family."""
    folders = {"llama": tiny_llama_dir, "gpt2": tiny_gpt2_dir, "t5": tiny_t5_dir, CLASSIFIER: tiny_llama_dir}
    folders["wide llama"] = wide_model_dirs["llama"]

    def loaded(family: str) -> LoadedModel:
        labels = LABELS if family == CLASSIFIER else None
        return load_model(str(folders[family]), device="cpu", labels=labels)

    return loaded


def samples(loaded: LoadedModel, count: int) -> list[EncodedExample]:
    """Samples of two tasks, of different lengths on both sides."""
    if loaded.labels:
        made = [
            Sample(
                index,
                f"Ann has {index} apples. " * (1 + index % 3),
                answer="few" if index < 9 else "many",
                task="odd" if index % 2 else "even",
            )
            for index in range(count)
        ]
        return [encode_choice(loaded.tokenizer, loaded.labels, sample, sample.task) for sample in made]
    return [
        encode(
            loaded.tokenizer,
            loaded.model_type,
            (
                Segment(f"Ann has {index} apples. " * (1 + index % 3) + "###", labelled=False),
                Segment(f" {index} apples" * (1 + index % 2), labelled=True),
            ),
            sample_index=index,
            task="odd" if index % 2 else "even",
        )
        for index in range(count)
    ]
