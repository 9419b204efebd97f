"""Prompt templates: what a model is asked, and what a student learns to answer.

The wording is that of Kojima et al. (2022) and Ho et al. (2023), so that published completions and students
can be compared with ours. Questions, answers and rationales are stripped of white space at their ends.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from finetune_cot.errors import UsageError
from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.glue import TEMPLATE as CLASSIFY

STOP_PHRASE = " END"
"""Ends the labels of files for OpenAI's platform, and so is where its students are stopped."""

ANSWER_TRIGGER = "Therefore, the answer is"
"""What the second step of zs_cot asks with."""


@dataclass(frozen=True)
class _Wording:
    prompt: str
    label: str | None = None
    """None where nothing is trained."""


@dataclass(frozen=True)
class _Template:
    decoder: _Wording
    encoder_decoder: _Wording | None
    """None where the template is for decoders alone."""
    answer_prefixes: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


_STEP_BY_STEP = _Wording("Q: {question}\nA: Let's think step by step.")
_FEW_SHOT = _Wording("{few_shot}\nQ: {question}\nA:")

TEMPLATES: Mapping[str, _Template] = MappingProxyType(
    {
        "zs": _Template(_Wording("Q: {question}\n\nA:"), _Wording("question: {question}")),
        "zs_cot": _Template(_STEP_BY_STEP, _STEP_BY_STEP),
        "fs_cot": _Template(_FEW_SHOT, _FEW_SHOT, ("The answer is",), stop=("\nQ:",)),
        "ft_token": _Template(
            _Wording("{question} ###", " {answer}"),
            _Wording("{question}", "{answer}"),
        ),
        "ft_natural": _Template(
            _Wording("Q: {question}\n\nA:", " {answer}"),
            _Wording("Q: {question}", "{answer}"),
        ),
        "ft_cot_token": _Template(
            _Wording("{question} ###", " {reasoning} --> {answer}"),
            _Wording("{question}", "{reasoning} --> {answer}"),
            ("-->",),
        ),
        "ft_cot_natural": _Template(
            _Wording(
                "Q: {question}\n\nA: Let's think step by step.\n\n",
                " {reasoning}\n\nTherefore the answer is {answer}",
            ),
            None,
            # The published label has no comma, the published checker looks for one: accept both.
            ("Therefore, the answer is", "Therefore the answer is"),
        ),
        CLASSIFY: _Template(_Wording("{question}", "{answer}"), _Wording("{question}", "{answer}")),
    }
)
"""The templates by name."""

_SAMPLED = re.compile(r"(.+)_t([0-9]{1,3})")


def prompt_text(
    template: str, question: str, model_type: str = "decoder", few_shot: str | None = None
) -> str:
    """What a model is asked first; for zs_cot the prompt of the reasoning.

    Args:
        template: Name of the template.
        question: The question of the sample.
        model_type: ``decoder`` or ``encoder_decoder``.
        few_shot: Exemplars that come first, for fs_cot alone.

    Raises:
        UsageError: there is no such template, it is not for such models, or fs_cot has no exemplars.
    """
    prompt = _wording(template, model_type).prompt
    if prompt.startswith("{few_shot}"):
        if few_shot is None:
            raise UsageError(f"{template} needs few-shot exemplars", where="completion key")
        few_shot = few_shot.rstrip()
    return prompt.format(question=question.strip(), few_shot=few_shot)


def answer_prompt(reasoning_prompt: str, reasoning_completion: str) -> str:
    """The second step of zs_cot: asks for the answer after the reasoning, which is kept as it was written."""
    return f"{reasoning_prompt}{reasoning_completion}\n{ANSWER_TRIGGER}"


def chat_messages(template: str, question: str, few_shot: str | None = None) -> list[dict[str, str]]:
    """The first question as a chat: one turn of the user.

    A student that learned from messages is asked the bare question: its turns have no marks at their ends.

    Raises:
        UsageError: as `prompt_text`.
    """
    text = prompt_text(template, question, "decoder", few_shot)
    return [{"role": "user", "content": question.strip() if is_finetune(template) else text}]


def answer_messages(question: str, reasoning: str) -> list[dict[str, str]]:
    """The second step of zs_cot as a chat: the question, the model's reasoning, and the user asking again."""
    return [
        *chat_messages("zs_cot", question),
        {"role": "assistant", "content": reasoning},
        {"role": "user", "content": ANSWER_TRIGGER},
    ]


def training_segments(
    template: str, model_type: str, question: str, reasoning: str | None, answer: str
) -> tuple[Segment, Segment]:
    """A sample for a student: the prompt, and the label that it learns to write.

    Raises:
        UsageError: the template is not for students or not for such models, or it needs a rationale and there
            is none.
    """
    wording = _wording(template, model_type)
    if wording.label is None:
        raise UsageError(
            f"{template} is not for training", where="template", remedy=f"use {_names(finetune=True)}"
        )
    if reasoning is None and "{reasoning}" in wording.label:
        raise UsageError(
            f"{template} needs rationales, and a sample has none",
            where="template",
            remedy=f"use {template.replace('_cot', '')}",
        )
    texts = {"question": question.strip(), "answer": answer.strip(), "reasoning": (reasoning or "").strip()}
    return (
        Segment(wording.prompt.format(**texts), labelled=False),
        Segment(wording.label.format(**texts), labelled=True),
    )


def is_two_step(template: str) -> bool:
    """Whether the answer is asked for in a step of its own."""
    return template == "zs_cot"


def is_finetune(template: str) -> bool:
    """Whether the template is that of a student.

    Raises:
        UsageError: there is no such template.
    """
    return _template(template).decoder.label is not None


def stop_strings(template: str) -> tuple[str, ...]:
    """Texts at which a completion ends; students of OpenAI's platform stop at `STOP_PHRASE` besides.

    Raises:
        UsageError: there is no such template.
    """
    return _template(template).stop


def answer_prefixes(template: str) -> tuple[str, ...]:
    """Texts after which the answer is looked for; none where the whole completion is the answer.

    Raises:
        UsageError: there is no such template.
    """
    return _template(template).answer_prefixes


def template_of(completion_key: str) -> str:
    """The template of a completion key: ``zs_cot_t70`` is zs_cot, sampled.

    Raises:
        UsageError: the key names no template.
    """
    name = _split(completion_key)[0]
    if name not in TEMPLATES:
        raise _unknown(completion_key, "completion key")
    return name


def temperature_of(completion_key: str) -> float:
    """The temperature of a completion key: 0.7 for ``zs_cot_t70``, 0 (greedy) without such an end."""
    return _split(completion_key)[1]


def _split(completion_key: str) -> tuple[str, float]:
    sampled = _SAMPLED.fullmatch(completion_key)
    return (sampled[1], int(sampled[2]) / 100) if sampled else (completion_key, 0.0)


def _template(name: str) -> _Template:
    if name not in TEMPLATES:
        raise _unknown(name, "template")
    return TEMPLATES[name]


def _wording(name: str, model_type: str) -> _Wording:
    template = _template(name)
    if model_type not in ("decoder", "encoder_decoder"):
        raise UsageError(f"there is no model type {model_type!r}", remedy="use decoder or encoder_decoder")
    wording = template.decoder if model_type == "decoder" else template.encoder_decoder
    if wording is None:
        raise UsageError(
            f"{name} is not for encoder-decoder models", where="template", remedy="use ft_cot_token"
        )
    return wording


def _unknown(name: str, what: str) -> UsageError:
    close = get_close_matches(name, TEMPLATES)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return UsageError(f"there is no {what} {name!r}", remedy=f"{guess}use {_names()}")


def _names(*, finetune: bool = False) -> str:
    return ", ".join(name for name in TEMPLATES if is_finetune(name) or not finetune)
