from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.reporting.findings import Measurement, Shown
from finetune_cot.reporting.samples import drawn, evenly, shortened
from tests.reporting.made_up import measured, student_id


def measurement(count: int) -> Measurement:
    verdict = Verdict(True, True, True, True, True, "1")
    shown = tuple(Shown(index, 0, "q", "", "1", "1", verdict) for index in range(count))
    return replace(measured(student_id(), 5), shown=shown)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 100))
def test_files_share_what_is_shown(sizes: list[int], most: int) -> None:
    found = drawn([measurement(size) for size in sizes], most)
    given_by = {id(item): len(chosen) for item, chosen in found}
    assert sum(given_by.values()) == min(most, sum(sizes))
    larger = [len(item.shown) for item, chosen in found if len(chosen) < len(item.shown)]
    assert all(len(chosen) <= len(item.shown) for item, chosen in found)
    if larger:  # nobody gives more than a file that could have given more, but for what does not divide
        least = min(len(chosen) for item, chosen in found if len(chosen) < len(item.shown))
        assert max(given_by.values()) <= least + 1


@given(st.integers(0, 300), st.integers(1, 100))
def test_a_draw_is_spread_evenly_and_in_order(count: int, most: int) -> None:
    found = evenly(range(count), most)
    assert len(found) == min(count, most)
    assert found == sorted(set(found))
    gaps = {right - left for left, right in pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_long_text_says_what_it_lost() -> None:
    text = "a" * 60 + "b" * 60
    short = shortened(text, 20)
    assert short == "a" * 10 + "\n[... 100 characters left out ...]\n" + "b" * 10
    assert shortened("short", 20) == "short"
