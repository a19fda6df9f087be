"""Poise: train, merge, quantize and serve language models on your own machines."""

__version__ = "0.1.0"
