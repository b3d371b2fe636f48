"""`python -m mbuzz`."""

import sys

from mbuzz.cli.main import main

sys.exit(main())
