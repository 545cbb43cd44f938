"""What stops a benchmark: a measurement that would not mean anything."""


class BenchmarkError(Exception):
    """Something that was to be measured failed, or did other work than it was asked to."""
