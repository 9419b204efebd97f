import re
from datetime import datetime, timedelta

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def day(text: str) -> datetime:
    return datetime.strptime(text, "%d %B %Y")


def shifted_date(question: str) -> str:
    found = re.search(r"(\d+) days (after|before) (\d+ \w+ \d{4})", question)
    assert found
    shift = timedelta(days=int(found[1]))
    return (day(found[3]) + shift if found[2] == "after" else day(found[3]) - shift).strftime("%Y-%m-%d")


def days_apart(question: str) -> str:
    year = re.search(r"\d{4}", question)
    assert year
    first, last = re.findall(r"\d+ [A-Z][a-z]+", question)
    return str((day(f"{last} {year[0]}") - day(f"{first} {year[0]}")).days)


def shifted_weekday(question: str) -> str:
    start = re.search("|".join(WEEKDAYS), question)
    days = re.search(r"\d+", question)
    assert start
    assert days
    shift = int(days[0]) * (-1 if re.search("before|earlier", question) else 1)
    return WEEKDAYS[(WEEKDAYS.index(start[0]) + shift) % 7]


def end_time(question: str) -> str:
    start = re.search(r"\d\d:\d\d", question)
    minutes = re.search(r"(\d+) minutes", question)
    assert start
    assert minutes
    return (datetime.strptime(start[0], "%H:%M") + timedelta(minutes=int(minutes[1]))).strftime("%H:%M")


def test_shifted_dates(check_answers, check_equations) -> None:
    check_answers("date_shift", shifted_date)
    check_equations("date_shift")


def test_days_between(check_answers, check_equations) -> None:
    check_answers("days_between", days_apart)
    check_equations("days_between")


def test_shifted_weekdays(check_answers) -> None:
    check_answers("weekday_shift", shifted_weekday)


def test_end_times(check_answers) -> None:
    check_answers("clock_time", end_time)
