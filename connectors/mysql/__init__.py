"""MySQL and MariaDB as a source: a snapshot by SELECT, then the binary log. Nothing here knows Kafka or the mapping."""
