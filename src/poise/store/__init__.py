"""Bytes by URL: one interface over a folder, memory, S3, Google Cloud Storage and Azure.

A process that has used a remote store must not `fork`: its child would wait for threads that it does not have.
Start processes by `spawn`, and let each open the store by its URL.
"""

from poise.store.interface import Entry, Store, Stored
from poise.store.open import open_store

__all__ = ["Entry", "Store", "Stored", "open_store"]
