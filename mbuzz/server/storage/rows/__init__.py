"""What is stored, as values: rows that storage takes and gives."""
