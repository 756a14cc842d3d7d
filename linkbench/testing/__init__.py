"""For authors of plugins: what linkbench expects of each kind, as checks that anybody can run.

In a test of your package, with the plugin's kind and registered name, or its class, and parameters if it needs any:

    import pytest
    from linkbench.testing import conformance

    @pytest.mark.parametrize("check", conformance(MyDefender, epsilon="8/255"), ids=str)
    def test_conformance(check):
        check()

The same on the command line: linkbench check my-defender
"""

from linkbench.testing.check import Outcome, Skip
from linkbench.testing.kit import Case, conformance, examine

__all__ = ["Case", "Outcome", "Skip", "conformance", "examine"]
