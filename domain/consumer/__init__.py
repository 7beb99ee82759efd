"""Consumers of the log: what people decided about events that one of them could not take."""
