"""The random factors of src/model/draws.rs, written a second time for the scripts that make fixtures."""
import torch

SEED, FIRST_ROW = 11, 3
MASK = 2**64 - 1


def mix(a, b):
    z = (a + (b + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def factors(layer, rows, columns, probability):
    """0 with `probability`, else 1 / (1 - `probability`), in float32 as the program has them."""
    numbers = torch.zeros(rows, columns, dtype=torch.float64)
    scale = torch.tensor(1 / (1 - probability), dtype=torch.float32).item()
    for row in range(rows):
        for column in range(columns):
            drawn = mix(mix(mix(SEED, layer), FIRST_ROW + row), column)
            numbers[row, column] = 0 if (drawn >> 11) / 2**53 < probability else scale
    return numbers


class Draws:
    """Counts the residuals of a forward pass: each has its own layer number, and dropout the next after the last."""

    def __init__(self):
        self.layer = 0

    def stochastic_depth(self, x, p, training):
        if not training:
            return x
        self.layer += 1
        return x * factors(self.layer - 1, x.shape[0], 1, p).view(-1, 1, 1, 1)

    def dropout(self, features, p):
        return features * factors(self.layer, *features.shape, p)
