"""The dream: a state that is a value, and the one step that takes it a tick further."""
