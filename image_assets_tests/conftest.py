"""What all tests share. Photographs are made by `image_assets_tests.photographs`."""

from hypothesis import settings

# Few examples, no deadline (the machine may be shared) and nothing kept between runs, so that a
# failure depends on the code alone.
settings.register_profile("image_assets", deadline=None, max_examples=60, database=None)
settings.load_profile("image_assets")
