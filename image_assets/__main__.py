"""``python -m image_assets`` is the ``image-assets`` command."""

import sys

from image_assets.cli import main

if __name__ == "__main__":
    sys.exit(main())
