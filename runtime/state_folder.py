"""The state folder (`.tillguard`, or TILLGUARD_STATE): everything that Tillguard writes on a machine.

The embedded stack, and one folder per retailer with `settings.yaml`, rules and connector files.
"""

import os
from pathlib import Path


def find_state_folder() -> Path:
    """The folder of this machine's state; relative to the working directory unless TILLGUARD_STATE names one."""
    return Path(os.environ.get("TILLGUARD_STATE", ".tillguard")).absolute()


def find_retailer_folder(retailer: str) -> Path:
    """Where a retailer's settings, rules and connector files live."""
    return find_state_folder() / "retailers" / retailer
