"""The settings of Hypothesis, before any law is read."""

import tests.laws  # noqa: F401  # loads the profile
