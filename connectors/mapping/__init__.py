"""Rows to transactions and labels, personal data to tokens. Pure; knows neither databases nor Kafka."""
