"""The rows: a million of 20 features as JSON lines, and a small dense network; by the same contenders."""
