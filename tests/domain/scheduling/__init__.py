"""The planner: laws over random cells, and the cases that once broke them."""
