"""``report --serve``: seen from this machine alone, and never behind what is saved."""

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import UsageError
from finetune_cot.pipeline import report_server
from finetune_cot.pipeline.report import report
from finetune_cot.pipeline.report_server import LOOPBACK, ReportServer, saved_state
from finetune_cot.tasks.reasoning import load_dataset
from tests.reporting.made_up import write_completions, write_epochs

DATASET = "bundled_coin_flip"


@pytest.fixture
def config(saved_dir: Path) -> ReportConfig:
    samples = load_dataset(DATASET, None).samples[:5]
    write_completions(saved_dir, CompletionId("m", "zs", DATASET), samples, lambda *_: True)
    return ReportConfig(saved_dir=saved_dir, data_dir=saved_dir / "none", figure_format=("none",))


@pytest.fixture
def address(config: ReportConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server listens that looks often."""
    monkeypatch.setattr(report_server, "SECONDS_BETWEEN_LOOKS", 0.05)
    server, stop = ReportServer(config, report(config).path), threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield urlsplit(server.address).netloc
    stop.set()
    thread.join()


def get(address: str, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def test_what_is_saved_later_is_shown_and_told_of(address: str, config: ReportConfig) -> None:
    status, text = get(address, "/")
    assert (status, "mine_m" in text, "location.reload()" in text) == (200, False, True)
    before = get(address, "/version")
    write_epochs(config.saved_dir, "mine_m_run_0", [(2.0, 1.5, {})])
    deadline = time.monotonic() + 60
    while get(address, "/version") == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "mine_m" in get(address, "/report.html")[1]
    assert get(address, "/training.csv")[0] == 200


def test_only_this_machine_is_answered(address: str) -> None:
    assert address.startswith(f"{LOOPBACK}:")
    assert get(address, "/", host="elsewhere.example:80")[0] == 403
    assert get(address, "/../../../etc/passwd")[0] == 404
    with pytest.raises(UsageError, match="cannot be listened on"):
        ReportServer(ReportConfig(port=int(address.rpartition(":")[2])), Path())


def test_reports_and_what_is_on_its_way_are_no_change(config: ReportConfig) -> None:
    before = saved_state(config.saved_dir)
    report(config)
    (config.saved_dir / "completion_data" / ".x.tmp-1").touch()
    assert saved_state(config.saved_dir) == before
