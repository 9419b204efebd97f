"""Presets: named choices of which completions of a teacher become training data."""

import re
from dataclasses import dataclass

from finetune_cot.errors import UsageError

MAX_RATIONALES = 64
"""Most rationales a question that the published experiments used."""

_DIVERSE = re.compile(r"ft_cot_t70_([1-9][0-9]?)aug")


@dataclass(frozen=True)
class Preset:
    """What a student is trained on."""

    key: str
    template: str
    """Template of the training samples."""
    completion_key: str | None
    """The teacher's completions; None where the answers of the data set are trained on."""
    num_completions: int
    """The first so many completions of each question."""


def preset(preset_key: str) -> Preset:
    """The preset of a name: ``ft``, ``ft_cot``, or ``ft_cot_t70_<k>aug`` with k rationales a question.

    Raises:
        UsageError: there is no such preset.
    """
    if preset_key == "ft":
        return Preset(preset_key, "ft_token", None, 1)
    if preset_key == "ft_cot":
        return Preset(preset_key, "ft_cot_token", "zs_cot", 1)
    diverse = _DIVERSE.fullmatch(preset_key)
    if diverse and int(diverse[1]) <= MAX_RATIONALES:
        return Preset(preset_key, "ft_cot_token", "zs_cot_t70", int(diverse[1]))
    raise UsageError(
        f"there is no preset {preset_key!r}",
        where="--preset-key",
        remedy=f"use ft, ft_cot, or ft_cot_t70_<k>aug with k from 1 to {MAX_RATIONALES}",
    )
