"""Upstream truth: asked for, kept, and shared by all places alike."""
