"""What deploys the parts, held against the tools that read it.

That is Helm, kube-score, Kubernetes' schemas, Compose's loader, hadolint, systemd and promtool. `made` has
the files that are made from the code, `chart` the chart's renderings, `tools` the programs that are built
from Go modules, which `python -m tests.deployment` does before it runs the tests here.
"""
