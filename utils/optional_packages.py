"""Optional packages: imported where they are used, with an error that names the requirements file."""

import importlib
import types


def import_package(module: str, purpose: str, requirements: str = "requirements-export.txt") -> types.ModuleType:
    """Import an optional module.

    Args:
        module: dotted name.
        purpose: what needs it, for the error.
        requirements: the file that pins its version.

    Raises:
        ImportError: the package is not installed, or does not work; the message names the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise ImportError(
            f"{purpose} needs the package {package}. Received: {error}. Install it with "
            f"pip install {package}, at the version in {requirements}"
        ) from error
