"""An image's HEALTHCHECK: exit code 0 where HEALTH_URL answers 200, else 1. Without dependencies."""

import os
import sys
import urllib.request

try:
    with urllib.request.urlopen(os.environ["HEALTH_URL"], timeout=8) as answer:  # noqa: S310 (of the image)
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(f"{os.environ['HEALTH_URL']}: {error}")
