"""The gateway: an OpenAI-compatible front to the model servers, with keys, limits, aliases and metrics."""
