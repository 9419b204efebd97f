"""Dates, days of the week and times of day."""

from calendar import monthrange
from datetime import date, timedelta
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import NAMES, Noun, comma_separated, split_words
from finetune_cot.tasks.sample import AnswerFormat

MONTHS = split_words("January February March April May June July August September October November December")
WEEKDAYS = split_words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
EVENTS = split_words("concert lecture film hike meeting match rehearsal tour workshop flight picnic race")
DAY, WEEK, HOUR, MINUTE = (
    Noun("day", "days"),
    Noun("week", "weeks"),
    Noun("hour", "hours"),
    Noun("minute", "minutes"),
)


def date_shift(rng: Random) -> Problem:
    """The date some days before or after another one, across ends of months."""
    start = _some_day(rng)
    shift = rng.randint(3, 45) * rng.choice((1, -1))
    side = "after" if shift > 0 else "before"
    question = rng.choice(
        (
            f"Which date is {abs(shift)} days {side} {_spelled(start)}?",
            f"What is the date {abs(shift)} days {side} {_spelled(start)}?",
            f"A fair opens exactly {abs(shift)} days {side} {_spelled(start)}. On which date is that?",
        )
    )
    end = start + timedelta(days=shift)
    steps = _forward_steps(start, shift) if shift > 0 else _backward_steps(start, -shift)
    closing = rng.choice(("So the date is", "This gives"))
    return Problem(
        f"{question} Write it as year-month-day, like 2005-01-30.",
        f"{' '.join(steps)} {closing} {_spelled(end)}, written {end.isoformat()}.",
        end.isoformat(),
    )


def _forward_steps(start: date, days: int) -> list[str]:
    month, day = start.replace(day=1), start.day + days
    steps = [f"{start.day} + {days} = {day}."]
    while day > _length(month):
        following = _next_month(month)
        steps.append(
            f"{MONTHS[month.month - 1]} {month.year} has only {_length(month)} days: "
            f"{day} - {_length(month)} = {day - _length(month)}, counted in {MONTHS[following.month - 1]}."
        )
        day -= _length(month)
        month = following
    return steps


def _backward_steps(start: date, days: int) -> list[str]:
    month, day = start.replace(day=1), start.day - days
    steps = [f"{start.day} - {days} = {day}."]
    while day < 1:
        month = (month - timedelta(days=1)).replace(day=1)
        steps.append(
            f"That is below 1, so go back to {MONTHS[month.month - 1]} {month.year} with its "
            f"{_length(month)} days: {day} + {_length(month)} = {day + _length(month)}."
        )
        day += _length(month)
    return steps


def days_between(rng: Random) -> Problem:
    """The number of days from one date to a later one in the same year, at most three months on."""
    start = _some_day(rng).replace(month=rng.randint(1, 11))
    months = rng.randint(1, min(3, 12 - start.month))
    end = start.replace(month=start.month + months, day=rng.randint(1, 28))
    first, last = (f"{day.day} {MONTHS[day.month - 1]}" for day in (start, end))
    question = rng.choice(
        (
            f"How many days are there from {first} to {last} in {start.year}?",
            f"In {start.year}, how many days after {first} is {last}?",
            f"How many days pass between {first} {start.year} and {last} {start.year}?",
        )
    )
    rest = _length(start) - start.day
    steps = [
        f"{MONTHS[start.month - 1]} has {_length(start)} days, which leaves {DAY.count(rest)} after {first}."
    ]
    parts = [rest]
    for number in range(start.month + 1, end.month):
        parts.append(_length(start.replace(month=number)))
        steps.append(f"{MONTHS[number - 1]} has {parts[-1]} days.")
    parts.append(end.day)
    total = sum(parts)
    steps.append(f"{last} is {DAY.count(end.day)} into {MONTHS[end.month - 1]}.")
    return Problem(question, f"{' '.join(steps)} {' + '.join(map(str, parts))} = {total}.", str(total))


def weekday_shift(rng: Random) -> Problem:
    """The day of the week some days before or after another one."""
    start, days, back = rng.randrange(7), rng.randint(2, 60), rng.random() < 0.5
    name = rng.choice(NAMES)
    question = rng.choice(
        (
            f"{name} moved house on a {WEEKDAYS[start]}. What day of the week was it {days} days "
            f"{'before' if back else 'after'} that?",
            f"{name} started a diary on a {WEEKDAYS[start]}. What day of the week "
            f"{'had it been' if back else 'was it'} {days} days {'earlier' if back else 'later'}?",
        )
    )
    weeks, rest = divmod(days, 7)
    path = [WEEKDAYS[(start + (-step if back else step)) % 7] for step in range(rest + 1)]
    steps = []
    if weeks:
        length = f"{WEEK.count(weeks)} and {DAY.count(rest)}" if rest else f"exactly {WEEK.count(weeks)}"
        steps.append(f"{days} days are {length}, and whole weeks change nothing.")
    if rest:
        direction = "back" if back else "on"
        steps.append(f"Counting {direction} {DAY.count(rest)} from {path[0]}: {comma_separated(path[1:])}.")
    return Problem(question, f"{' '.join(steps)} So it is {path[-1]}.", path[-1])


def clock_time(rng: Random) -> Problem:
    """The time at which something of a given length ends."""
    hour, minute, length = rng.randint(6, 19), 5 * rng.randrange(12), 5 * rng.randint(13, 47)
    event = rng.choice(EVENTS)
    start = f"{hour:02}:{minute:02}"
    question = rng.choice(
        (
            f"A {event} begins at {start} and lasts {length} minutes. When does it end?",
            f"If a {event} of {length} minutes starts at {start}, at what time is it over?",
            f"The {event} starts at {start}. What time is it when {length} minutes have passed?",
        )
    )
    hours, minutes = divmod(length, 60)
    total = minute + minutes
    end = f"{hour + hours + total // 60:02}:{total % 60:02}"
    if not minutes:
        return Problem(
            question, f"{length} minutes are {hours} hours. {hours} hours after {start} it is {end}.", end
        )
    sum_of_minutes = f"{minute} + {minutes} = {total}"
    if total >= 60:
        rest = f" and {MINUTE.count(total - 60)}" if total > 60 else ""
        sum_of_minutes += f" minutes, which is 1 hour{rest}"
    rationale = (
        f"{length} minutes are {HOUR.count(hours)} and {MINUTE.count(minutes)}. "
        f"{HOUR.count(hours)} after {start} it is {hour + hours:02}:{minute:02}. "
        f"For the minutes, {sum_of_minutes}. So the time is {end}."
    )
    return Problem(question, rationale, end)


def _some_day(rng: Random) -> date:
    return date(rng.randint(1990, 2035), rng.randint(1, 12), rng.randint(1, 28))


def _spelled(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _next_month(first: date) -> date:
    return first + timedelta(days=_length(first))


TASKS = (
    ProceduralTask("clock_time", "dates", 2, AnswerFormat("letters"), clock_time),
    ProceduralTask("weekday_shift", "dates", 2, AnswerFormat("letters"), weekday_shift),
    ProceduralTask("date_shift", "dates", 3, AnswerFormat("letters"), date_shift),
    ProceduralTask("days_between", "dates", 3, AnswerFormat("number"), days_between),
)
