"""What methods for sparse inputs are compared on."""
