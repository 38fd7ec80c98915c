#!/usr/bin/env bash
# Run once, by the image's own start on an empty volume: the shop's tables, and an account with what a connector needs.
set -euo pipefail
: "${CONNECTOR_PASSWORD:?}"
case "$CONNECTOR_PASSWORD" in *[\'\\]*) echo "CONNECTOR_PASSWORD must hold no quote or backslash" >&2; exit 1 ;; esac

MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql -u root shop <<SQL
CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  placed_at DATETIME(3) NOT NULL,
  customer_id BIGINT UNSIGNED NOT NULL,
  customer_since DATETIME NULL,
  amount DECIMAL(12, 2) NOT NULL,
  currency CHAR(3) NOT NULL,
  card_number VARCHAR(32) NULL,
  email VARCHAR(254) NULL,
  device_id VARCHAR(64) NULL,
  ip_address VARCHAR(45) NULL,
  delivery_address VARCHAR(255) NULL,
  coupon_code VARCHAR(32) NULL,
  channel VARCHAR(16) NULL,
  payment_method VARCHAR(16) NULL,
  billing_country CHAR(2) NULL,
  delivery_country CHAR(2) NULL,
  items INT UNSIGNED NULL,
  discount DECIMAL(12, 2) NULL,
  KEY placed_at (placed_at)
);
CREATE TABLE chargebacks (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id BIGINT UNSIGNED NOT NULL,
  reason VARCHAR(32) NULL,
  received_at DATETIME(3) NOT NULL
);
CREATE TABLE reviews (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id BIGINT UNSIGNED NOT NULL,
  decision VARCHAR(16) NOT NULL,
  analyst VARCHAR(64) NOT NULL,
  decided_at DATETIME(3) NOT NULL
);
CREATE USER 'tillguard'@'%' IDENTIFIED BY '$CONNECTOR_PASSWORD';
GRANT SELECT ON shop.* TO 'tillguard'@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tillguard'@'%';
SQL
