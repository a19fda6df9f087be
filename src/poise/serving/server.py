"""`python -m poise.serving.server OPTIONS...`: vLLM's API server, a quarter quicker to start.

While modules are imported, Python's collector of cyclic garbage walks all that was imported so far, again and again,
and finds nothing; so it comes more rarely here. The engine's process begins with this module too, as processes that
`multiprocessing` spawns begin with their parent's main module.
"""

from __future__ import annotations

import gc

gc.set_threshold(100_000, 50, 100)

if __name__ == "__main__":
    from vllm.entrypoints.launchers.api_server.entry import main

    main()
