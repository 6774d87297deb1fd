"""The dream's mathematics: tensors in, tensors out. Importing it settles what libraries need of their surroundings."""

from reverie.model.startup import settle

settle()
