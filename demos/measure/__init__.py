"""What `reverie bench` measures, one thing a file."""
