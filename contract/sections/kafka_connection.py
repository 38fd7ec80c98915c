"""How any Kafka cluster is reached: a retailer's own, or the federation's."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from contract.sections.section import Seconds, Section


class KafkaConnection(Section):
    """How a Kafka cluster is reached; a retailer's own and the federation's are two."""

    SECTION: ClassVar[str]
    """Of the settings file, for messages."""

    bootstrap_servers: str = Field("localhost:9092", description="host:port, several separated by commas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="TLS is SSL or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="needed with SASL_*"
    )
    sasl_username: str | None = Field(None, description="needed with SASL_*")
    sasl_password: SecretStr | None = Field(None, description="needed with SASL_*")
    ssl_ca_file: Path | None = Field(None, description="PEM of the authority that signed the brokers' certificates")
    ssl_cert_file: Path | None = Field(None, description="PEM of this client's certificate (mutual TLS)")
    ssl_key_file: Path | None = Field(None, description="PEM of this client's key (mutual TLS)")

    replication_factor: int = Field(1, ge=1, le=9, description="3 in production")
    request_timeout_s: Seconds = Field(30.0, description="a broker that does not answer for so long counts as down")

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError("SASL needs sasl_mechanism, sasl_username and sasl_password")
        return self

    def to_kafka_python(self) -> dict[str, Any]:
        """Connection arguments for every kafka-python client."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.sasl_mechanism and self.sasl_password:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        files = {"ssl_cafile": self.ssl_ca_file, "ssl_certfile": self.ssl_cert_file, "ssl_keyfile": self.ssl_key_file}
        return options | {key: str(file) for key, file in files.items() if file}

    def to_librdkafka(self) -> dict[str, Any]:
        """Connection properties for every librdkafka client."""
        options: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.sasl_mechanism and self.sasl_password:
            options |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        files = {
            "ssl.ca.location": self.ssl_ca_file,
            "ssl.certificate.location": self.ssl_cert_file,
            "ssl.key.location": self.ssl_key_file,
        }
        return options | {key: str(file) for key, file in files.items() if file}
