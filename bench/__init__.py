"""Benchmarks: side by side in one run, medians quoted, written down whatever they say."""
