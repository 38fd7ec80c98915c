"""What a server may not ask of a client that cannot be sure whom it talks to: the password as it stands."""

from typing import Any, NoReturn

from contract.errors import ConfigurationError


class RefusedPlugin:
    """A method of signing in that sends the password readable; see `pymysql.connect`, auth_plugin_map."""

    def __init__(self, connection: Any) -> None:
        """Called by the driver when the server asks for the method."""
        self._where = f"MySQL {connection.host}:{connection.port}"

    def authenticate(self, packet: object) -> NoReturn:  # noqa: ARG002 - the driver's form
        """Called instead of answering the server; sends nothing."""
        fault = (
            "the server asks for the password in clear text, and whoever listens or poses as the server would have it; "
            "set source.tls, or give the user a method such as caching_sha2_password"
        )
        raise ConfigurationError([f"{self._where}: {fault}"])


CLEAR_TEXT = {"mysql_clear_password": RefusedPlugin, "dialog": RefusedPlugin}
"""PAM and LDAP sign in by these."""
