"""The configuration: its model, how files become it, and what is said about errors in them."""

from __future__ import annotations

from fustor_core.config.effective import effective, secret_values
from fustor_core.config.loading import (
    ConfigErrors,
    Loaded,
    ModelOf,
    Overrides,
    check_config,
    from_environment,
    load_config,
)
from fustor_core.config.model import (
    ID_PATTERN,
    Agent,
    Arbitrator,
    AuditTiers,
    Config,
    DriverBlock,
    Forest,
    Log,
    Pipe,
    State,
    View,
    is_key_reference,
)
from fustor_core.config.roles import AGENT, FUSION, ROLES
from fustor_core.config.roots import require_roots
from fustor_core.config.schema import json_schema
from fustor_core.config.up import up_config, view_names

__all__ = [
    "AGENT",
    "FUSION",
    "ID_PATTERN",
    "ROLES",
    "Agent",
    "Arbitrator",
    "AuditTiers",
    "Config",
    "ConfigErrors",
    "DriverBlock",
    "Forest",
    "Loaded",
    "Log",
    "ModelOf",
    "Overrides",
    "Pipe",
    "State",
    "View",
    "check_config",
    "effective",
    "from_environment",
    "is_key_reference",
    "json_schema",
    "load_config",
    "require_roots",
    "secret_values",
    "up_config",
    "view_names",
]
