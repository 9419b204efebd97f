import re
from fractions import Fraction

SIZES = {
    "kilometers": 1_000_000,
    "meters": 1000,
    "centimeters": 10,
    "millimeters": 1,
    "kilograms": 1_000_000,
    "grams": 1000,
    "milligrams": 1,
    "liters": 1000,
    "milliliters": 1,
    "weeks": 604_800,
    "days": 86_400,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
    "years": 12,
    "months": 1,
    "feet": 12,
    "inches": 1,
    "euros": 100,
    "cents": 1,
}


def solve(question: str) -> str:
    found = re.match(r"How many (?P<to>.+) are (?P<number>\d+) (?P<of>.+)\?", question) or re.match(
        r"(?:Convert|Express) (?P<number>\d+) (?P<of>.+) (?:to|in) (?P<to>.+)\.", question
    )
    assert found
    return str(Fraction(int(found["number"]) * SIZES[found["of"]], SIZES[found["to"]]))


def test_conversions(check_answers, check_equations) -> None:
    check_answers("unit_conversion", solve)
    check_equations("unit_conversion")
