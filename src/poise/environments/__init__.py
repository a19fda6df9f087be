"""The Python environments that Poise's work runs in, made from the lock files of `images/`.

They live at `<home>/envs/NAME`, and hold the very Poise that made them.
"""

from poise.environments.state import ENVIRONMENTS, detected_variant, gpu_count, lock_digest, problem, python
from poise.environments.synchronize import sync

__all__ = ["ENVIRONMENTS", "detected_variant", "gpu_count", "lock_digest", "problem", "python", "sync"]
