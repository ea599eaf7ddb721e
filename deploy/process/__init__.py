"""Child processes: started, watched, and ended by their id.

Imports `schemas.service`.
"""
