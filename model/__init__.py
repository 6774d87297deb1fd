"""The dream's mathematics: tensors in, tensors out."""
