"""A small Hub on this machine for tests of pushing and loading, by the real clients."""

from loopback_hub.server import OTHER_TOKEN, READ_TOKEN, TOKEN, LoopbackHub

__all__ = ["OTHER_TOKEN", "READ_TOKEN", "TOKEN", "LoopbackHub"]
