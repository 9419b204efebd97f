"""Quantities in other units."""

from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import Noun
from finetune_cot.tasks.sample import AnswerFormat

METER, GRAM = Noun("meter", "meters"), Noun("gram", "grams")
MINUTE, HOUR, DAY = Noun("minute", "minutes"), Noun("hour", "hours"), Noun("day", "days")
CENTIMETER = Noun("centimeter", "centimeters")

UNITS = (
    (Noun("kilometer", "kilometers"), 1000, METER),
    (METER, 100, CENTIMETER),
    (CENTIMETER, 10, Noun("millimeter", "millimeters")),
    (Noun("kilogram", "kilograms"), 1000, GRAM),
    (GRAM, 1000, Noun("milligram", "milligrams")),
    (Noun("liter", "liters"), 1000, Noun("milliliter", "milliliters")),
    (HOUR, 60, MINUTE),
    (MINUTE, 60, Noun("second", "seconds")),
    (DAY, 24, HOUR),
    (Noun("week", "weeks"), 7, DAY),
    (Noun("year", "years"), 12, Noun("month", "months")),
    (Noun("foot", "feet"), 12, Noun("inch", "inches")),
    (Noun("euro", "euros"), 100, Noun("cent", "cents")),
)
"""A large unit, how many small ones it is, and the small unit."""


def unit_conversion(rng: Random) -> Problem:
    """A whole number of units in a larger or smaller unit."""
    large, factor, small = rng.choice(UNITS)
    number = rng.randint(2, 250)
    if rng.random() < 0.5:
        source, target, value, result, sign = large, small, number, number * factor, "*"
        reason = rng.choice(("so multiply", "so the number grows"))
    else:
        source, target, value, result, sign = small, large, number * factor, number, "/"
        reason = rng.choice(("so divide", "so the number shrinks"))
    question = rng.choice(
        (
            f"How many {target.many} are {source.count(value)}?",
            f"Convert {source.count(value)} to {target.many}.",
            f"Express {source.count(value)} in {target.many}.",
        )
    )
    rule = f"{large.count(1)} is {small.count(factor)}"
    return Problem(question, f"{rule}, {reason}: {value} {sign} {factor} = {result}.", str(result))


TASKS = (ProceduralTask("unit_conversion", "units", 2, AnswerFormat("number"), unit_conversion),)
