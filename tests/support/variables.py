"""The environment of tests."""


def unwanted(variable: str) -> bool:
    """Whether tests run without a variable of the environment."""
    # They start hundreds of processes. Without bytecode on disk, each compiles every module.
    return "LEMLIST" in variable or variable == "PYTHONDONTWRITEBYTECODE"
