"""What all tests share. Photographs are made by `image_assets_tests.photographs`."""

import signal

from hypothesis import settings

# Few examples, no deadline (the machine may be shared) and nothing kept between runs, so that a
# failure depends on the code alone.
settings.register_profile("image_assets", deadline=None, max_examples=60, database=None)
settings.load_profile("image_assets")

# What a script starts with `&` ignores Ctrl-C, and so does all that it starts: the runs of the
# tests of Ctrl-C, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
