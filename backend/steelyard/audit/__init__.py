"""The audit trail: collect an asset's history with proofs, verify it offline. Pure; see docs/trail.md."""
