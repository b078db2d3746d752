"""The HTTP service: REST over the index, prepared transactions, uploads, webhooks (docs/api.md)."""
