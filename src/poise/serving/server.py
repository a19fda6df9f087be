"""`python -m poise.serving.server OPTIONS...`: vLLM's API server, a fifth quicker to start.

While modules are imported, every cyclic garbage collection walks all that has been imported so far and finds nothing.
So there are none until vLLM loads its plugins, when `poise.serving.plugin` allows them again. The engine's process
begins with this module too, as processes that `multiprocessing` spawns begin with their parent's main module.
"""

from __future__ import annotations

import gc

gc.disable()

if __name__ == "__main__":
    from vllm.entrypoints.launchers.api_server.entry import main

    main()
