"""The deterministic host: drives the core with virtual time, network, disks and clients."""
