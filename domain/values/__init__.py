"""Values: they refuse nonsense when made, and carry their own arithmetic."""
