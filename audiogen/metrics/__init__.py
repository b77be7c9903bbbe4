"""What we measure."""
