"""What happens next: processes that follow the log, decide purely, then append or project."""
