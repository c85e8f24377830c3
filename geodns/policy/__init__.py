"""From orders to a snapshot, and from a snapshot to rulings. No socket, no clock."""
