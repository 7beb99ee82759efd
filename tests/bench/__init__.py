"""The benchmarks' door and their peers; no test looks at how fast anything is."""
