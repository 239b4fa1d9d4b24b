"""Predict a large language-model training run from small ones, with honest error bars."""
