"""Where a run's workers are started: on this machine, or on a cluster."""

from poise.runners.local import LocalRunner

__all__ = ["LocalRunner"]
