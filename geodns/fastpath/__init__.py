"""Bytes and integers in, bytes and integers out: what the native twin will do too."""
