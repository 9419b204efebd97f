"""Training with the optimizer's state divided between devices (ZeRO, Rajbhandari et al. 2020), by DeepSpeed.

Stage 1 divides the state, stage 2 the gradients too; each process keeps all weights. Checkpoints are those of
a single device: the parts of the state are put together, and DeepSpeed's own files are not written.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy

from finetune_cot.training.single_device_checkpoints import SingleDeviceCheckpoints


class ZeroStrategy(SingleDeviceCheckpoints, DeepSpeedStrategy):
    """Lightning's strategy with checkpoints that the trainer's plugin writes; it runs on CPUs too.

    Args:
        stage: 1 or 2.
        on_cpu: Whether processes speak through gloo, which cannot scatter sums.
    """

    def __init__(self, stage: int, *, on_cpu: bool) -> None:
        super().__init__(
            stage=stage, logging_batch_size_per_gpu=1, reduce_scatter=not on_cpu, overlap_comm=not on_cpu
        )
        self._on_cpu = on_cpu

    def setup_environment(self) -> None:
        """Let the processes find each other, also on CPUs, which Lightning would refuse here."""
        if self._on_cpu:
            DDPStrategy.setup_environment(self)
        else:
            super().setup_environment()

    def setup_distributed(self) -> None:
        """The same, without looking for GPUs' numbers on a CPU."""
        if self._on_cpu:
            reset_seed()
            self.set_world_ranks()
            self._init_deepspeed_distributed()
        else:
            super().setup_distributed()

    def _format_config(self) -> None:
        """Let mixed precision be what it is elsewhere: weights, gradients and their sums in float32."""
        super()._format_config()
        if self.config and self.config.pop("bf16", None):
            autocast = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
            self.config["torch_autocast"] = autocast

    def _setup_model_and_optimizer(self, model: Any, optimizer: Any, lr_scheduler: Any = None) -> Any:
        if not self._on_cpu:
            return super()._setup_model_and_optimizer(model, optimizer, lr_scheduler)
        import deepspeed

        engine, divided, _, _ = deepspeed.initialize(
            config=self.config,
            model=model,
            model_parameters=_trained(model),
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            dist_init_required=False,
        )
        return engine, divided

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """The optimizer's state as it is on a single device; all processes must ask for it."""
        from deepspeed.utils import safe_get_full_optimizer_state

        around: Any = self.optimizers[0]
        parts, (group,) = around.optimizer.state, around.optimizer.param_groups
        parameters = _trained(self.lightning_module)
        own = parts[group["params"][0]] if parts else {}
        state = {
            number: {
                key: safe_get_full_optimizer_state(parameter, key) if value.dim() else value
                for key, value in own.items()
            }
            for number, parameter in enumerate(parameters if own else ())
        }
        return {"state": state, "param_groups": [{**group, "params": list(range(len(parameters)))}]}

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        """Take each process's parts of the weights, which are there already, and of the optimizer's state."""
        from deepspeed.utils import lazy_init_hp_params_optimizer_state, safe_set_full_optimizer_state

        (saved,) = checkpoint["optimizer_states"]
        around: Any = self.optimizers[0]
        around.refresh_fp32_params()
        state, (group,) = around.optimizer.state, around.optimizer.param_groups
        group.update({key: value for key, value in saved["param_groups"][0].items() if key != "params"})
        if not saved["state"]:
            return
        (own,) = group["params"]
        parameters = _trained(self.lightning_module)
        state[own] = {
            key: torch.zeros_like(own) if value.dim() else value.clone()
            for key, value in saved["state"][0].items()
        }
        lazy_init_hp_params_optimizer_state(parameters, own, state)
        for number, parameter in enumerate(parameters):
            for key, value in saved["state"][number].items():
                if value.dim():
                    safe_set_full_optimizer_state(parameter, value, key)


@contextlib.contextmanager
def quiet_deepspeed() -> Iterator[None]:
    """Send what DeepSpeed says to stderr, warnings left out: stdout holds the command's result."""
    with contextlib.redirect_stdout(sys.stderr):
        before = os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
        import deepspeed.utils

        deepspeed.utils.logger.setLevel(before.upper())
        yield


def _trained(model: Any) -> list[Any]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
