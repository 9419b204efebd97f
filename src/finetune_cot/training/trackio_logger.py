"""Logging to trackio, which keeps its records on this machine."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import trackio  # type: ignore[import-not-found,unused-ignore]
from lightning.pytorch.loggers.logger import Logger


class TrackioLogger(Logger):
    """Gives losses to trackio; ``trackio show`` shows them.

    Args:
        project: Project of the run.
        run: Name of the run; one of that name is continued.
    """

    def __init__(self, project: str, run: str) -> None:
        super().__init__()
        self._project = project
        self._name = run
        self._run: Any = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self._name

    @property
    def version(self) -> str:
        """Trackio knows no versions."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leave them out: the manifest holds them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record losses."""
        if self._run is None:
            self._run = trackio.init(project=self._project, name=self._name, resume="allow")
        self._run.log(dict(metrics), step=step)

    def finalize(self, status: str) -> None:
        """Write what is still in memory."""
        if self._run is not None:
            self._run.finish()
            self._run = None
