"""Key delivery, sealed streams and Merkle trees: pure functions, no files, no network, no clock."""
