"""Options: declared once, built from plain values, checked, and written back."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.config.data import (
    DataFetchConfig,
    DataGenerateConfig,
    DataImportConfig,
    DataListConfig,
    DataShowConfig,
)
from finetune_cot.config.demo import DemoConfig
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import build, option_specs, replace, to_plain
from finetune_cot.config.report import ReportConfig
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import UsageError

CONFIGS: list[type[Any]] = [
    *(
        TeachConfig,
        BuildFinetuneDataConfig,
        TrainConfig,
        GradsConfig,
        EstimateConfig,
        SampleTruthConfig,
        SelectConfig,
        EvaluateConfig,
        ExportHfConfig,
        ReportConfig,
        DemoConfig,
    ),
    *(DataListConfig, DataShowConfig, DataImportConfig, DataFetchConfig, DataGenerateConfig),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_defaults_are_valid_and_survive_a_round_trip(config: type[Any]) -> None:
    assert build(config, to_plain(config())) == config()


@pytest.mark.parametrize("config", CONFIGS)
def test_every_option_has_a_help_that_ends_in_a_full_stop(config: type[Any]) -> None:
    assert all(spec.option.help.endswith(".") for spec in option_specs(config))


@given(
    rank=st.integers(1, 512),
    rate=st.floats(1e-7, 1.0),
    tasks=st.lists(st.integers(0, 99), min_size=1),
    path=st.none() | st.just(Path("a/b")),
)
def test_values_survive_a_round_trip(rank: int, rate: float, tasks: list[int], path: Path | None) -> None:
    config = TrainConfig(lora_rank=rank, lr=rate, task_idxes=tuple(tasks), load_model_dir=path)
    assert build(TrainConfig, to_plain(config)) == config


def test_lists_come_as_words_commas_or_lists() -> None:
    for written in ("0,1,2", ["0", "1", "2"], ["0,1", "2"], [0, 1, 2]):
        assert build(TrainConfig, {"task-idxes": written}).task_idxes == (0, 1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lora_rank": 0}, "--lora-rank: 0 must be above 0"),
        ({"lora_rank": "four"}, "--lora-rank: 'four' is not a whole number"),
        ({"lora_rank": 1.5}, "--lora-rank: 1.5 is not a whole number"),
        ({"lr": float("nan")}, "--lr: nan must be above 0"),
        ({"method": "magic"}, "--method: 'magic' is not one of lora, qlora, adapter, qadapter, full"),
        ({"overwrite": "perhaps"}, "--overwrite: 'perhaps' is not true or false"),
        ({"lora_rnak": 4}, "unknown option 'lora_rnak'; did you mean lora_rank?"),
        ({"model_key": {"a": 1}}, "--model-key: {'a': 1} is not a single value"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(TrainConfig, values)
    assert str(caught.value) == message


def test_replace_checks_again() -> None:
    with pytest.raises(UsageError):
        replace(TrainConfig(), epochs=0)
