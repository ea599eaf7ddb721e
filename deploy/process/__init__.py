"""Child processes: started, watched, ended by id.

Imports `schemas.service`.
"""
