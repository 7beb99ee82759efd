"""The demonstration: `make demo` runs the whole story on real parts and checks it."""
