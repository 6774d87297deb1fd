"""Pages that a person looks at: a model's report, and a blind test. Self-contained HTML, no requests."""
