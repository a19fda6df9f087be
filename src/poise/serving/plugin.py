"""The entry point that vLLM calls in each of its processes (group `vllm.general_plugins`).

vLLM only logs an import that fails here, and goes on; what `register` raises ends the process. So everything that
may fail is imported inside it.
"""

from __future__ import annotations


def register() -> None:
    """Cure what is known to be wrong in vLLM's CPU backend and, where it is configured, resolve adapters.

    Raises `SpecError` on half a configuration.
    """
    from vllm.platforms import current_platform

    from poise.serving.settings import ResolverSettings

    settings = ResolverSettings.from_environment()
    if current_platform.is_cpu():
        from poise.serving import cures

        cures.apply()
    if settings is not None:
        from poise.serving import lora

        lora.register(settings)
