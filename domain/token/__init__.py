"""Token: the one way in. Only a hash of it is ever recorded."""
