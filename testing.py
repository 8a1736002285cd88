"""Checks for the tests of a plugin: that its solvers, losses, games and others keep the contract.

checks                   all checks of some things, as objects
parametrize_with_checks  a decorator of pytest that makes a test of each
Check, Broken            one check, and the error that it raises
"""

from .core.conformance.assertions import Broken as Broken
from .core.conformance.testing import Check as Check
from .core.conformance.testing import checks as checks
from .core.conformance.testing import parametrize_with_checks as parametrize_with_checks
