"""What MySQL and MariaDB hold in a column, read the same from an answer to SELECT and from the binary log. Pure."""
