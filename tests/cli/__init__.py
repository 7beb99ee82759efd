"""The command line against a real HTTP server."""
