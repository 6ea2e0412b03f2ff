"""The base image under every model whose user names no other: one static program, a layer of it, no network."""

from modelcar.base.layer import CMD, COMMANDS, PLATFORMS, layer

__all__ = ["CMD", "COMMANDS", "PLATFORMS", "layer"]
