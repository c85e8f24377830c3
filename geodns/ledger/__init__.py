"""What happened to orders, for good: an append-only chain of entries on disk."""
