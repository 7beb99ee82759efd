"""The tests of processors."""
