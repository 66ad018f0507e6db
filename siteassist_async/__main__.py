"""`python -m siteassist_async`: the command line."""

import sys

from siteassist_async.cli import main

sys.exit(main())
