"""What a run breaks, and how it is drawn."""
