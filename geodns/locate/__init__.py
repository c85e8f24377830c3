"""Who is asking, and where that is."""
