"""Reports of what the operator did, for the public and for courts."""
