"""Language models: made, trained and scored. The only folder that imports torch."""
