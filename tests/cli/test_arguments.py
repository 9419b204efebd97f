"""Several words after a list option."""

import pytest

from finetune_cot.cli.arguments import LIST_OPTIONS, spread_completion, spread_lists
from finetune_cot.config.options import flag, option_specs
from tests.config.test_options import CONFIGS


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("train --devices 0 1 2 --json", "train --devices 0 --devices 1 --devices 2 --json"),
        ("train --devices 0,1 --lr 2", "train --devices 0,1 --lr 2"),
        ("train --devices 0 --devices 1", "train --devices 0 --devices 1"),
        ("data show gsm8k --limit 2", "data show gsm8k --limit 2"),
        ("train --devices", "train --devices"),
    ],
)
def test_words_are_spread(written: str, read: str) -> None:
    assert spread_lists(written.split()) == read.split()


def test_every_list_option_is_known() -> None:
    declared = {flag(spec.name) for config in CONFIGS for spec in option_specs(config) if spec.many}
    assert declared == LIST_OPTIONS


def test_an_open_quotation_is_left_to_the_shell() -> None:
    shell = {"_TYPER_COMPLETE_ARGS": "ftcot train --logger wandb 'a"}
    spread_completion(shell)
    assert shell == {"_TYPER_COMPLETE_ARGS": "ftcot train --logger wandb 'a"}
