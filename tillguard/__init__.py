"""The composition root and the command line: the only place that knows every part."""

__version__ = "0.1.0"
