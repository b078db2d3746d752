"""What the tests of the contracts share: the chain's clock, decoded events and errors, and a shop to buy from."""
