"""File formats: reads records from CSV and JSON, and converts customers to and from them."""
