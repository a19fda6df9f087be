"""What Poise makes and how it is kept: manifests, transfer with digests, the registry, aliases, keys, parity."""
