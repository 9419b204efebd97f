"""Devices by their names, and what is refused about them before anything is written."""

import pytest

from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import UsageError
from finetune_cot.pipeline.devices import named_devices, placement, rank_device, started_devices
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.train_checks import check_precision, check_strategy
from finetune_cot.training.settings import Processes


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [rank_device(("auto",), 8, rank) for rank in (0, 3, 4)] == ["cuda:0", "cuda:3", "cuda:0"]
    assert [rank_device(("2",), 2, rank) for rank in (0, 1)] == ["cuda:0", "cuda:1"]
    assert [rank_device(("3", "cuda:1"), 2, rank) for rank in (0, 1)] == ["cuda:3", "cuda:1"]
    assert [rank_device(("cpu",), 2, rank) for rank in (0, 1)] == ["cpu", "cpu"]
    for several in (("2",), ("0", "1")):
        with pytest.raises(UsageError, match="torchrun --standalone --nproc-per-node 2 -m finetune_cot"):
            rank_device(several, 1, 0)


def test_devices_of_a_machine_with_gpus(two_gpus: None) -> None:
    assert named_devices(["auto"]) == named_devices(["1"]) == named_devices(["0"]) == ("cuda:0",)
    assert named_devices(["2"]) == named_devices(["0", "cuda:1"]) == ("cuda:0", "cuda:1")
    assert named_devices(["cpu", "cpu"]) == ("cpu", "cpu")
    with pytest.raises(UsageError, match="--devices: 8 devices are asked for; this machine has 2 GPUs"):
        named_devices(["8"])
    with pytest.raises(UsageError, match="no device 'cuda:2'"):
        named_devices(["0", "2"])
    with pytest.raises(UsageError, match="names a device twice"):
        named_devices(["0", "0"])
    with pytest.raises(UsageError, match="different kinds"):
        named_devices(["0", "cpu"])


def test_without_a_gpu_a_number_is_that_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert named_devices(["2"]) == ("cpu", "cpu")
    with pytest.raises(UsageError, match="8 devices are asked for; this machine has no GPU, and 2 cores"):
        named_devices(["8"])


def test_processes_that_a_launcher_started(two_gpus: None) -> None:
    second = Ranks(1, 2, 1, local_world=2)
    whole = Processes(1, 2, ("cuda:0", "cuda:1"))
    assert placement(["auto"], None, second) == placement(["2"], 1, second) == ("cuda:1", whole)
    assert placement(["cpu"], None, second) == ("cpu", Processes(1, 2, ("cpu", "cpu")))
    assert placement(["auto"], 2, Ranks(3, 4, 1, local_world=2))[1].nodes == 2
    with pytest.raises(UsageError, match="3 processes were started on this machine, which has 2 GPUs"):
        started_devices(["auto"], 3)
    with pytest.raises(UsageError, match="2 devices are asked for, and 1 processes were started"):
        started_devices(["2"], 1)
    with pytest.raises(UsageError, match="--num-nodes: 4 machines are asked for, and the processes of 1"):
        placement(["auto"], 4, second)


@pytest.mark.parametrize(
    ("options", "world", "message"),
    [
        ({"strategy": "fsdp"}, 1, "--strategy fsdp: divides a training between several devices"),
        ({"strategy": "fsdp", "method": "adapter"}, 2, "cannot divide the weights of --method adapter"),
        ({"strategy": "fsdp", "method": "qlora"}, 2, "cannot divide the weights of --method qlora"),
        (
            {"strategy": "fsdp", "optimizer": "adamw_8bit"},
            2,
            "cannot divide the state of --optimizer adamw_8bit",
        ),
        ({"strategy": "fsdp", "precision": "64-true"}, 2, "--strategy fsdp: is not for --precision 64-true"),
        ({"batch_size": 3}, 4, "--batch-size: 3 samples cannot be shared by 4 devices"),
    ],
)
def test_strategies_that_cannot_be(options: dict[str, object], world: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_strategy(TrainConfig(**options), world)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "deepspeed_stage_3"}, "divides the weights too.*give --strategy fsdp"),
        ({"method": "qlora"}, "cannot divide the weights of --method qlora"),
        ({"precision": "bf16-true"}, "is not for --precision bf16-true; try 32-true, bf16-mixed"),
        ({"accumulate": 2}, "takes a step after every batch; leave out --accumulate"),
        ({"devices": ("0", "cuda:2")}, "needs GPUs that are numbered from 0; set CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_deepspeed_cannot_do(
    options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(**({"strategy": "deepspeed_stage_2"} | options))  # type: ignore[arg-type]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="package deepspeed, which is not installed; run: pip install"):
        check_strategy(config, 2)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UsageError, match=message):
        check_strategy(config, 2)
    check_strategy(TrainConfig(strategy="deepspeed_stage_2", devices=("cuda:0", "1")), 2)


@pytest.mark.parametrize(
    ("precision", "device", "can"),
    [
        *((name, "cpu", True) for name in ("32-true", "64-true", "bf16-true", "bf16-mixed")),
        *((name, "cpu", False) for name in ("16-true", "16-mixed", "transformer-engine")),
        *((name, "cuda:0", True) for name in ("32-true", "64-true", "bf16-true", "16-true", "16-mixed")),
        *(("64-true", "mps", False), ("16-mixed", "mps", True)),
    ],
)
def test_precisions_that_a_device_can_compute_in(precision: str, device: str, can: bool) -> None:
    if can:
        check_precision(precision, device)
    else:
        with pytest.raises(UsageError, match=f"--precision: {precision} .*; try bf16-mixed or 32-true"):
            check_precision(precision, device)
