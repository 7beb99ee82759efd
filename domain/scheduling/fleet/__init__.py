"""The placement engine: nodes as arrays, best node per demand, gangs, hypotheticals undone."""
