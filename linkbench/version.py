"""The version of linkbench; packages and documentation read it here."""

__version__ = "0.1.0"
"""Of this linkbench, as Semantic Versioning counts."""
