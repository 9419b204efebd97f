"""What may be wrong with an option's value, in words."""

import math


def positive(value: float) -> str | None:
    """A number above zero."""
    return None if value > 0 and math.isfinite(value) else "must be above 0"


def not_negative(value: float) -> str | None:
    """Zero or more."""
    return None if value >= 0 and math.isfinite(value) else "must be 0 or more"


def fraction(value: float) -> str | None:
    """A share, from 0 (left out) to 1."""
    return None if 0 < value <= 1 else "must be above 0 and at most 1"


def share(value: float) -> str | None:
    """A share from 0 to below 1."""
    return None if 0 <= value < 1 else "must be at least 0 and below 1"
