"""Laws: formulas with named coefficients."""
