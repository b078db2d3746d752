"""The gateway: hosts models over the Open Inference Protocol, and is paid by the call (docs/gateway.md)."""
