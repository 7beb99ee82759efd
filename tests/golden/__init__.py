"""Recorded histories of earlier code: today's code reads them to the same state (F23)."""
