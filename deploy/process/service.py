"""What a process of the stack has of the product's own: settings, a health check, and the base of its errors.

Parts that could stand alone take these from here, so that this is all they know of the product.
"""

from __future__ import annotations

from evometrics.schemas.errors import EvometricsError as EvometricsError
from evometrics.schemas.service.health import HealthSettings as HealthSettings
from evometrics.schemas.service.health import Standing as Standing
from evometrics.schemas.service.health import Watchdog as Watchdog
from evometrics.schemas.service.settings import SettingsError as SettingsError
from evometrics.schemas.service.settings import in_environment as in_environment
from evometrics.schemas.service.settings import read_settings as read_settings
from evometrics.schemas.service.settings import require as require
from evometrics.schemas.service.settings import variable_of as variable_of
