"""`python -m evometrics.deploy.cli`: the command line, where no script `evometrics` is installed."""

import sys

from evometrics.deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
