"""Settings of every test."""

from hypothesis import settings

# how long an example takes depends on what else the machine does; what it finds does not
settings.register_profile("foretell", deadline=None)
settings.load_profile("foretell")
