"""What Ray leaves to the garbage collector."""

LEFT_OPEN = ("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
