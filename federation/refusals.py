"""What the federation refuses, as part of the one tree of errors; `reason` is a code, `detail` names fields, never values.

TillguardError
└── FederationRefusedError
    ├── KeyStoreError           a key file is missing, open to others, damaged, or the passphrase is wrong
    ├── EnvelopeRefusedError    bytes that are no acceptable message: dropped, counted by a code of DROP_REASONS
    ├── MaskingRefusedError     a masked sum cannot continue, or a participant must not: the attempt fails, nothing is shown
    ├── UpdateRefusedError      an update that must not be used: wrong shapes or lengths, NaN, infinities, damage
    └── PrivacyBudgetError      a release would pass the budget: refused before anything is computed
"""

from contract.errors import TillguardError


class FederationRefusedError(TillguardError):
    """Something is refused and nothing was done."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class KeyStoreError(FederationRefusedError):
    """The keys cannot be read or written: missing | exists | permissions | format | passphrase."""


class EnvelopeRefusedError(FederationRefusedError):
    """A message is dropped; `reason` is a code of `contract.federation.reasons.DROP_REASONS`."""

    sender = ""
    """Whose message it is, where its signature was found to hold."""


class MaskingRefusedError(FederationRefusedError):
    """The masked sum is not given: plan | stage | keys | shares | lists | threshold | overflow | words | reconstruction."""


class UpdateRefusedError(FederationRefusedError):
    """An update is not used: schema | length | shape | not_finite | format | oversized."""


class PrivacyBudgetError(FederationRefusedError):
    """A release would pass the budget; `epsilon_before`, `epsilon_after` and `epsilon_max` say by how much."""

    def __init__(self, detail: str, *, epsilon_before: float, epsilon_after: float, epsilon_max: float) -> None:
        super().__init__("budget", detail)
        self.epsilon_before = epsilon_before
        self.epsilon_after = epsilon_after
        self.epsilon_max = epsilon_max
