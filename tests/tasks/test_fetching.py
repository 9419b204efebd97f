"""The downloads, from a server on loopback and from local copies of the hub's schema."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks import hub
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.fetching import SOURCES, FetchReport, Source, fetch_dataset
from finetune_cot.tasks.reasoning import load_dataset

Serve = Callable[[bytes], str]

DATES = {
    "canary": "canary 26b5c67b",
    "examples": [
        {"input": f"Day {day}. ", "target_scores": {f"0{n}/01/2021.": int(n == 1) for n in range(1, 7)}}
        for day in range(3)
    ],
}
ROWS: dict[str, Any] = {
    "single_eq": [{"sQuestion": "1 + 1?", "lSolutions": [2.0]}],
    "addsub": [{"sQuestion": "1 + 1?", "lSolutions": [2.5]}],
    "multiarith": [{"sQuestion": "1 + 1?", "lSolutions": [2.0]}],
    "svamp": [{"Body": "Two.", "Question": "How many?", "Answer": 2.0}],
    "strategy_qa": {
        "examples": [{"input": "Can it?", "target_scores": {"Yes": 1, "No": 0}, "target": "Yes. It can."}]
    },
    "date_understanding": DATES,
    "tracking_shuffled_objects": {
        "examples": [{"input": "Who?", "target_scores": {"Ada.": 0, "Bob.": 1, "Cyd.": 0}}]
    },
    "coin_flip": {"examples": [{"question": "Heads?", "answer": "yes"}]},
    "last_letter_concatenation": {"examples": [{"question": "Letters?", "answer": "ab"}]},
}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serves bytes at an address of this machine; `/missing` is not there."""
    monkeypatch.setenv("NO_PROXY", "*")
    content: list[bytes] = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Length", str(len(content[0])))
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def serving(data: bytes) -> str:
        content[0] = data
        return f"http://127.0.0.1:{server.server_port}/task.json"

    yield serving
    server.shutdown()
    server.server_close()


def fetch(key: str, address: str, samples: int, data_dir: Path, **options: Any) -> FetchReport:
    source = replace(SOURCES[key], address=address, samples=samples)
    return fetch_dataset(key, data_dir, source=source, **options)


@pytest.mark.parametrize("key", ROWS)
def test_every_source_that_is_a_file(tmp_path: Path, serve: Serve, key: str) -> None:
    rows = ROWS[key]["examples"] if isinstance(ROWS[key], dict) else ROWS[key]
    address = serve(json.dumps(ROWS[key]).encode())
    report = fetch(key, address, len(rows), tmp_path)
    assert (report.key, report.samples, report.source, report.written) == (key, len(rows), address, True)
    data = load_dataset(key, tmp_path)
    assert [sample.sample_index for sample in data.samples] == list(range(len(rows)))
    assert data.answer_formats == {key: PUBLISHED_FORMATS[key]}
    assert not fetch(key, address, len(rows), tmp_path).written


def test_choices_of_dates_are_shuffled_as_published_and_the_canary_stays(
    tmp_path: Path, serve: Serve
) -> None:
    path = fetch("date_understanding", serve(json.dumps(DATES).encode()), 3, tmp_path).path
    assert json.loads(path.read_text())["metadata"]["canary"] == DATES["canary"]
    samples = load_dataset("date_understanding", tmp_path).samples
    for sample in samples:
        assert f"({sample.answer}) 01/01/2021" in sample.question
    assert samples[0].answer == "F"  # RandomState(0).permutation(6) is 5 2 1 3 4 0


def test_dates_equal_the_published_ones(tmp_path: Path, serve: Serve, shared_data: Path) -> None:
    """Put the choices back into the authors' order, where the right one is mostly first, and fetch them."""
    given = load_dataset("date_understanding", shared_data)
    import numpy

    state = numpy.random.RandomState(0)
    examples = []
    for sample in given.samples:
        scene, _, listed = sample.question.partition("\nWhich choice is true? Answer choices: ")
        choices = [part[4:] for part in listed.removesuffix(".").split(", ")]
        order = state.permutation(len(choices)).tolist()
        scores = {f"{choices[place]}.": int("ABCDEF"[place] == sample.answer) for place in order}
        examples.append({"input": scene, "target_scores": scores})
    assert sum(next(iter(example["target_scores"].values())) for example in examples) == 364
    address = serve(json.dumps({"examples": examples}).encode())
    fetch("date_understanding", address, 369, tmp_path)
    fetched = load_dataset("date_understanding", tmp_path)
    assert [(s.question, s.answer) for s in fetched.samples] == [
        (s.question, s.answer) for s in given.samples
    ]


@pytest.fixture
def out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that refuses every connection."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("out_of_reach")
@pytest.mark.parametrize(
    ("key", "parts", "row", "answer"),
    [
        ("gsm8k", ("train", "test"), {"question": "1 + 1?", "answer": "One.\n#### 2"}, "2"),
        (
            "aqua",
            ("train", "test"),
            {"question": "Far?", "options": ["A)1", "B)2"], "rationale": "R", "correct": "B"},
            "B",
        ),
        (
            "commonsense_qa",
            ("train", "validation"),
            {"question": "Where?", "choices": {"label": ["A", "B"], "text": ["x", "y"]}, "answerKey": "A"},
            "A",
        ),
    ],
)
def test_every_source_of_the_hub(
    tmp_path: Path, key: str, parts: tuple[str, ...], row: dict[str, Any], answer: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in parts:
        numbered = {**row, "question": f"{row['question']} {part}"}
        (copy / f"{part}.jsonl").write_text(json.dumps(numbered) + "\n")
    assert SOURCES[key].parts == parts
    fetch(key, str(copy), 2, tmp_path / "data")
    data = load_dataset(key, tmp_path / "data")
    assert [sample.answer for sample in data.samples] == [answer, answer]
    assert [parts[i] in sample.question for i, sample in enumerate(data.samples)] == [True, True]


@pytest.mark.usefixtures("out_of_reach")
def test_a_hub_out_of_reach_is_told_quickly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"openai/gsm8k:main: is no file.*go online and try again, or put"):
        fetch_dataset("gsm8k", tmp_path)
    with pytest.raises(DataError, match="nobody/nothing: is no file, and no data set in the local cache"):
        hub.load_hub_rows("nobody/nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "samples", "message"),
    [
        (b'[{"sQuestion": "1', 1, "is not as it was published: it is no JSON"),
        (b"<html>", 1, "it is no JSON"),
        (b"\xff\xfe", 1, "it is no JSON"),
        (b"[]", 1, "it has 0 samples, not 1"),
        (b"{}", 1, "it has 0 samples, not 1"),
        (b'[{"question": "?"}]', 1, r"a row has another form \(KeyError: 'sQuestion'\)"),
        (b"[3]", 1, "a row has another form"),
        (b"3", 1, "a row has another form"),
    ],
)
def test_what_is_not_as_published_is_refused(
    tmp_path: Path, serve: Serve, content: bytes, samples: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fetch("addsub", serve(content), samples, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_servers_that_fail_are_told(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = serve(b"").replace("task.json", "missing")
    with pytest.raises(DataError, match=r"/missing: cannot be downloaded \(HTTP Error 404.*go online"):
        fetch("addsub", missing, 1, tmp_path)
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("addsub", "http://127.0.0.1:9/", 1, tmp_path)
    monkeypatch.setattr("finetune_cot.tasks.fetching.MAX_BYTES", 10)
    with pytest.raises(DataError, match="has more than 10 bytes"):
        fetch("addsub", serve(b"[" + b" " * 100 + b"]"), 1, tmp_path)


def test_another_file_is_not_replaced_unless_asked(tmp_path: Path, serve: Serve) -> None:
    fetch("addsub", serve(json.dumps(ROWS["addsub"]).encode()), 1, tmp_path)
    other = serve(json.dumps(ROWS["single_eq"]).encode())
    with pytest.raises(DataError, match="is there already and differs; use --overwrite"):
        fetch("addsub", other, 1, tmp_path)
    assert fetch("addsub", other, 1, tmp_path, overwrite=True).written


def test_a_key_that_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'addsubs' is no published data set; choose one of"):
        fetch_dataset("addsubs", tmp_path)
    assert SOURCES.keys() == PUBLISHED_FORMATS.keys()
    assert all(isinstance(source, Source) for source in SOURCES.values())
