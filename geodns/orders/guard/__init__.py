"""The guard against over-blocking: which targets hit people whom no order is about."""
