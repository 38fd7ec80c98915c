"""Reports: one HTML file each, with everything inside, for a screen or a phone, by day or by night."""
