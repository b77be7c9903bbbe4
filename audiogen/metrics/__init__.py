"""What is measured: texts, waves, voices and speeds, and the report that shows it."""
