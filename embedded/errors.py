"""What can go wrong with the embedded stack.

StackError
├── PrerequisiteError    the machine lacks something: one sentence that names it
└── ServiceFailedError   a server did not start or stop; the end of its log is in the message
"""

from contract.errors import TillguardError


class StackError(TillguardError):
    """The embedded stack cannot do what was asked."""


class PrerequisiteError(StackError):
    """The machine lacks something; the message names it and what to do."""


class ServiceFailedError(StackError):
    """A server did not start, did not answer in time or did not stop."""
