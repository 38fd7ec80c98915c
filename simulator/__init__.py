"""A retailer in miniature: seeded customers, sales and five kinds of fraud. Pure: no clock, no file, no database."""
