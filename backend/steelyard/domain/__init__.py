"""What the words of the market mean: pure types and rules, no input and no output."""
