"""The demonstration and the doors a person uses first."""
