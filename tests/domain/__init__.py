"""The domain: values, aggregates, scheduling."""
