"""Project: whose work it is, who may act in it and how much it may hold."""
