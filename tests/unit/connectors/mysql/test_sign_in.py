"""A server that asks for the password as it stands gets nothing."""

import socket
import threading

import pytest

from connectors.config.connector_file import MysqlServer
from connectors.mysql.server import connect
from contract.errors import ConfigurationError

GREETING = (
    b"\x0a8.0.0\x00" + bytes(4) + b"x" * 8 + b"\x00" + b"\xff\xf7" + b"\x2d" + b"\x02\x00" + b"\xff\x80" + b"\x15" + bytes(10)
    + b"y" * 12 + b"\x00caching_sha2_password\x00"
)  # fmt: skip


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_a_password_is_never_sent_in_clear_text(plugin: bytes) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(30)
                peer.sendall(len(GREETING).to_bytes(3, "little") + b"\x00" + GREETING)
                received.append(peer.recv(4096))
                switch = b"\xfe" + plugin + b"\x00" + b"\x04Password: "
                peer.sendall(len(switch).to_bytes(3, "little") + b"\x02" + switch)
                while data := peer.recv(4096):
                    received.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=r"clear text.*source\.tls"):
            connect(MysqlServer(kind="mysql", host="127.0.0.1", port=port, user="u", database="d"), "of-the-shop")
        thread.join()
    assert b"of-the-shop" not in b"".join(received)
