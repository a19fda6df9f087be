"""Serving with vLLM: command lines, the adapter resolver that runs inside it, and deployments on one machine."""
