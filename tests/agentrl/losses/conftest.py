from hypothesis import settings

# A busy machine is no failure, and the same examples everywhere make a red test repeatable.
settings.register_profile("numeric", deadline=None, derandomize=True)
settings.load_profile("numeric")
