"""Child processes: started, watched, and ended by their id.

Imports `schemas.service`.
"""

__all__ = ["child", "ports", "readiness", "service", "signals", "supervise"]
