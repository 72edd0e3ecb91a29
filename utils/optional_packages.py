"""Packages that only one command needs: imported where they are used, with an error that says what to install."""

import importlib
import types


def import_package(module: str, purpose: str, requirements: str = "requirements-export.txt") -> types.ModuleType:
    """The module, imported.

    Args:
        module: its dotted name. purpose: what needs it, for the error. requirements: the file that names its version.

    Raises:
        ImportError: it is not installed, or broken; the message names what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise ImportError(
            f"{purpose} needs the package {package}. Received: {error}. Install it with "
            f"pip install {package}, at the version in {requirements}"
        ) from error
