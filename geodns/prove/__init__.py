"""The proof of containment: where answers change for which names, and nowhere else."""
