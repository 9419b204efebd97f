"""What the name of a model tells: its family and its size."""

import re

KNOWN_MILLIONS = {"gpt2": 124, "text-davinci-002": 175_000}
"""Parameters of models whose names do not tell them, in millions."""

_NUMBER = r"\d+(?:\.\d+)?\s?[mb]"
_WORD = r"(?:tiny|mini|nano|small|base|medium|large|x+l)"
_SIZE = re.compile(rf"[-_](?:{_NUMBER}\d*|{_WORD})(?![a-z\d]).*", re.IGNORECASE)


def millions(model: str) -> int | None:
    """Parameters of a model in millions: 135 of ``SmolLM2-135M``, 6700 of ``opt-6.7b``; None if not told."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([mb])(?![a-z\d])", model.lower())
    if found is None:
        return KNOWN_MILLIONS.get(model.lower())
    return max(1, round(float(found[1]) * (1000 if found[2] == "b" else 1)))


def family(model: str) -> str:
    """The name without its size and what follows: ``opt`` of ``opt-6.7b``, ``t5`` of ``t5-small``."""
    return _SIZE.sub("", model) or model
