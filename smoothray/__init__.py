"""smoothray: smooth teachers for symbolic distillation, searched, recorded and tested."""

__version__ = "0.1.0"
