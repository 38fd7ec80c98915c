"""MySQL's and MariaDB's binary log, read by our own code: framing, transactions and positions. Rows are decoded in `columns`."""
