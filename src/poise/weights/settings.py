"""What GPTQModel takes from the environment. It reads this at import, so it is set before."""

from __future__ import annotations

import os
from pathlib import Path


def prepare_gptqmodel(scratch: Path) -> None:
    """No network, no compiling of kernels while quantizing, and caches under `scratch` rather than in /tmp."""
    workers = max(2, min(12, (os.cpu_count() or 1) // 2))  # it loads models with two, and fails on fewer
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_HOME=str(scratch.absolute() / "hub"),
        GPTQMODEL_OFFLINE="1",
        GPTQMODEL_CPU_WORKERS=str(workers),
        GPTQMODEL_DISABLE_PACK_EXT="1",
        GPTQMODEL_DISABLE_GIL_WARNING="1",
    )
