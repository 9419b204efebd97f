"""How near `ftcot teach` comes to what a server allows, and what memory it takes meanwhile.

    python -m tests.benchmarks.teach [--completions 20000] [--latency 0.2] [--at-once 64] [--load 100000]

A server on loopback, in a process of its own, answers after ``--latency`` seconds and refuses more than
``--at-once`` requests; so its ceiling is their quotient. Each completion is one request. The rates are those
of each tenth of the completions; memory is the command's resident set. ``--load`` completions are then read
from a journal and from a JSON file. Prints one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import Completion, open_completions, read_completions
from finetune_cot.artifacts.manifest import start
from tests.faulty_server import faulty_server

QUESTION = "Ann has {} apples and buys 4 more, of which she gives half to Ben. How many apples has she now?"


def write_dataset(data_dir: Path, questions: int) -> None:
    """A data set of sums."""
    rows = [
        {"sample_index": index, "question": QUESTION.format(index), "answer": str(index // 2 + 2)}
        for index in range(questions)
    ]
    (data_dir / "dataset").mkdir(parents=True)
    (data_dir / "dataset" / "addsub.json").write_text(json.dumps({"metadata": {}, "data": rows}))


def resident_bytes(process: int) -> int:
    """Memory that a process has now."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def taught(completions: int, latency: float, at_once: int, folder: Path) -> dict[str, Any]:
    """Figures of one command, from outside."""
    write_dataset(folder / "data", completions)
    marks: list[tuple[int, float, int]] = []
    with faulty_server(latency, at_once) as server:
        line = [sys.executable, "-m", "finetune_cot", "teach", "--teacher", "openai", "--model-key", "m"]
        line += ["--dataset-key", "addsub", "--data-dir", str(folder / "data"), "--completion-key", "zs"]
        line += ["--base-url", server.base_url, "--concurrency", str(at_once), "--json"]
        line += ["--saved-dir", str(folder / "saved")]
        began = time.perf_counter()
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            while process.poll() is None:
                done = server.counts().get("billed", 0)
                marks.append((done, time.perf_counter(), resident_bytes(process.pid)))
                time.sleep(0.2)
            result = json.loads(process.stdout.read()) if process.stdout else {}
        seconds = time.perf_counter() - began
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)  # of the command; the server still runs
        counts = server.counts()
    tenths = [next(mark for mark in marks if mark[0] >= completions * part / 10) for part in range(1, 10)]
    first, last = tenths[0], tenths[-1]
    rate = (last[0] - first[0]) / (last[1] - first[1])
    return {
        "completed": result["completed"],
        "failed": result["failed"],
        "seconds": seconds,
        "requests_per_second": rate,
        "ceiling": at_once / latency,
        "share_of_ceiling": rate * latency / at_once,
        "rates_by_tenth": [
            (after[0] - before[0]) / (after[1] - before[1]) for before, after in pairwise(tenths)
        ],
        "memory_by_tenth": [mark[2] for mark in tenths],
        "peak_memory_bytes": max(mark[2] for mark in marks),
        "processor_seconds": spent.ru_utime + spent.ru_stime,
        "refused": counts.get("too many at once", 0),
    }


def loaded(completions: int, folder: Path) -> dict[str, float]:
    """Seconds to read a journal and the JSON file that is made of it."""
    path = folder / "many" / "D_many.json"
    running = start("teach", {})
    with open_completions(path, {}, (), "teach") as store:
        for begin in range(0, completions, 1000):
            store.append(completion(index) for index in range(begin, min(begin + 1000, completions)))
    from_journal = timed(path)
    with open_completions(path, {}, (), "teach") as store:
        store.finish(running.manifest())
    from_json = timed(path)
    return {
        "journal_seconds": from_journal[0],
        "journal_processor_seconds": from_journal[1],
        "json_seconds": from_json[0],
        "json_processor_seconds": from_json[1],
    }


def completion(index: int) -> Completion:
    """A completion in two steps, of the usual length."""
    question = QUESTION.format(index)
    prompt = f"Q: {question}\nA: Let's think step by step."
    reasoning = " She has some, and buys more." * 15
    answer = f"{prompt}{reasoning}\nTherefore, the answer is"
    return Completion(index, 0, question, "2", answer, " 2", prompt, reasoning, "stop", "stop")


def timed(path: Path) -> tuple[float, float]:
    """Seconds to read a completion file, on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    read_completions(path)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Teach once, then load."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--completions", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--load", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = taught(options.completions, options.latency, options.at_once, Path(folder))
        figures |= loaded(options.load, Path(folder))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
