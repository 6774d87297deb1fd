"""What is measured of the dream, on held-out worlds."""
