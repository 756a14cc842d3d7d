"""linkbench: how well attackers link public face photos to genomes, and how well defenders stop them."""

from linkbench.version import __version__ as __version__
