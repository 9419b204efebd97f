import pytest

from finetune_cot.errors import UsageError
from finetune_cot.prompts.presets import Preset, preset
from finetune_cot.prompts.templates import is_finetune, template_of


def test_published_presets() -> None:
    assert preset("ft") == Preset("ft", "ft_token", None, 1)
    assert preset("ft_cot") == Preset("ft_cot", "ft_cot_token", "zs_cot", 1)


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16, 32, 64])
def test_diverse_reasoning(count: int) -> None:
    key = f"ft_cot_t70_{count}aug"
    chosen = preset(key)
    assert chosen == Preset(key, "ft_cot_token", "zs_cot_t70", count)
    assert is_finetune(chosen.template)
    assert template_of(chosen.completion_key or "") == "zs_cot"


@pytest.mark.parametrize("key", ["", "ft_cots", "ft_cot_t70_0aug", "ft_cot_t70_65aug", "ft_cot_t70_aug"])
def test_unknown_presets_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match="there is no preset"):
        preset(key)
