"""`python -m compute_platform` is the command `compute`."""

from __future__ import annotations

from compute_platform.main import main

if __name__ == "__main__":
    main()
