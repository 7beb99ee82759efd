"""Reservation: nodes kept for some, or for nobody, on a schedule."""
