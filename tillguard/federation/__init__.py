"""The federation as a product: files, Kafka, databases and the retailer's own trainer put to what `federation` decides, and what is shown of it."""
