"""What the platform stands on."""
