"""The tests of projections."""
