"""Starts AWS's DynamoDB Local: DynamoDB's own engine for conditions, PartiQL and streams."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.engines.process import Engine
from tests.support.commands import finished

HOME = Path(__file__).parents[2] / ".cache" / "dynamodb-local"
JAR = HOME / "DynamoDBLocal.jar"
LAUNCHER = Path(__file__).with_name("LoopbackDynamoDb.java")
MINIMUM_JAVA = 17


class DynamoDbLocal(Engine):
    """DynamoDB and DynamoDB Streams in memory, on 127.0.0.1, without telemetry."""

    def command(self, port: int) -> Sequence[str]:
        """The launcher is compiled in memory by java itself, which takes about a second."""
        return [
            str(shutil.which("java")),
            f"-Djava.library.path={HOME / 'DynamoDBLocal_lib'}",
            "-Xmx512m",
            "-cp",
            str(JAR),
            str(LAUNCHER),
            "-inMemory",
            "-disableTelemetry",
            "-port",
            str(port),
        ]

    def environment(self, port: int, directory: Path) -> Mapping[str, str]:
        """Nothing of the caller's; telemetry is off by option and by variable."""
        return {"PATH": os.defpath, "HOME": str(directory), "DDB_LOCAL_TELEMETRY": "0"}

    def missing(self) -> str | None:
        """A JDK, or DynamoDB Local itself."""
        reason = missing_java()
        if reason is None and not JAR.exists():
            return "DynamoDB Local is not installed: run `make dynamodb-local`"
        return reason


def missing_java() -> str | None:
    """Why there is no java that can run the launcher, or None. A JDK is needed, for its compiler."""
    java = shutil.which("java")
    wanted = f"DynamoDB Local needs a JDK {MINIMUM_JAVA} or newer"
    if java is None:
        return f"{wanted}; there is no `java` on the PATH"
    modules = finished(java, "--list-modules").stdout
    compiler = [line for line in modules.splitlines() if line.startswith("jdk.compiler@")]
    if not compiler:
        return f"{wanted}; the `java` on the PATH has no compiler"
    version = compiler[0].partition("@")[2].partition(".")[0]
    if not version.isdigit() or int(version) < MINIMUM_JAVA:
        return f"{wanted}; the `java` on the PATH is version {version}"
    return None
