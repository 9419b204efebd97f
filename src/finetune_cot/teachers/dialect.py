"""Which parameters a server takes, under which names; what it refuses once is not sent again."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from finetune_cot.prompts.templates import stop_strings
from finetune_cot.teachers.protocol import Recipe

LIMIT = "max_tokens"
"""How the limit of new tokens is called here, whatever the server calls it."""
_NEWER_LIMIT = "max_completion_tokens"
_CAN_DO_WITHOUT = ("temperature", "seed", "stop", "n")
_OUT_OF_RANGE = re.compile(r"between|range|less than|greater than|at most|maximum|[<>]=?", re.I)
"""A temperature that is too high is a mistake of the user's; one that is not to be set is not."""


def wanted_parameters(recipe: Recipe, limit: int, completion_index: int) -> dict[str, Any]:
    """Parameters of a request for one step of a completion: those alone that are set.

    Args:
        recipe: How completions are asked for.
        limit: New tokens, at most.
        completion_index: The how many-eth completion of the question it is.
    """
    wanted: dict[str, Any] = {LIMIT: limit, "temperature": recipe.temperature}
    if stop := (*stop_strings(recipe.template), *recipe.stop):
        wanted["stop"] = list(stop)
    if recipe.seed and recipe.temperature > 0:
        # One seed for all would make the completions of a question the same.
        wanted["seed"] = recipe.seed + completion_index
    return wanted


class Dialect:
    """What a server has shown that it takes.

    Args:
        is_openai: Whether it is OpenAI itself, whose newer models know the newer name of the limit alone and
            do not let one name a temperature of 1, their default.
        chat: Whether it is the chat endpoint; the older one has no other name for the limit.
        refused: Parameters that it has refused, as `refused` told of an earlier dialect.
    """

    def __init__(self, is_openai: bool, chat: bool, refused: Iterable[str] = ()) -> None:
        names = [LIMIT, _NEWER_LIMIT] if chat else [LIMIT]
        self._limit_names = names[::-1] if is_openai else names
        self._without_default = is_openai
        self.refused: tuple[str, ...] = ()
        """Parameters that it has refused, in the order in which it did."""
        self.gives_several: bool | None = None
        """Whether it gives as many choices as ``n`` says; None until it was asked."""
        for name in refused:
            self._refuse(name)

    def parameters(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent of the parameters that are wanted."""
        named = {self._limit_names[0] if name == LIMIT else name: value for name, value in wanted.items()}
        if self._without_default and named.get("temperature") == 1:
            del named["temperature"]
        return {name: value for name, value in named.items() if name not in self.refused}

    def learn(self, message: str, parameter: str | None, sent: Mapping[str, Any]) -> bool:
        """Learn from a bad request which parameter the server does not take.

        Args:
            message: What the server says.
            parameter: The one that it names, if it does.
            sent: The parameters of the request.

        Returns:
            Whether the request can now be made in another way.
        """
        name = parameter if parameter in sent else _mentioned(message, sent)
        if name is None or (name == "temperature" and _OUT_OF_RANGE.search(message)):
            return False
        if self._limit_names == [name]:  # it cannot be asked without a limit
            return False
        self._refuse(name)
        return True

    def _refuse(self, name: str) -> None:
        if name in self.refused:
            return
        self.refused += (name,)
        self._limit_names = [other for other in self._limit_names if other != name]
        if name == "n":
            self.gives_several = False


def _mentioned(message: str, sent: Mapping[str, Any]) -> str | None:
    """The first of the parameters that stands in a message; ``n`` only where it can be nothing else."""
    for name in (LIMIT, _NEWER_LIMIT, *_CAN_DO_WITHOUT):
        pattern = r"""['"`]n['"`]|\bn\s*(?:[=><]|must|is)""" if name == "n" else rf"\b{name}\b"
        if name in sent and re.search(pattern, message):
            return name
    return None
