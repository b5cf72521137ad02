#!/usr/bin/python3
"""Starts a broker of its own that asks for passwords and runs the program given against it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "stack"))
import stack  # noqa: E402

LOGIN = ('org.apache.kafka.common.security.plain.PlainLoginModule required '
         'user_right="secret";')


def settings(plain, controller, sasl):
    """Lines behind the stack's own: the last one of a name counts."""
    return (
        f"listeners=PLAINTEXT://{plain},CONTROLLER://{controller},SASL_PLAINTEXT://{sasl}",
        "listener.security.protocol.map="
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        f"listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN}",
    )


def main():
    with tempfile.TemporaryDirectory(prefix="tailrace-password-", dir="/var/tmp") as folder:
        servers = stack.Stack(folder)
        try:
            servers.up(["kafka"])
            plain = servers.endpoints()["KAFKA_BOOTSTRAP"]
            host, port = plain.split(":")
            sasl = f"{host}:{stack.find_port(1, {int(port)})}"
            servers.stop("kafka")
            servers.start("kafka", settings(plain, f"{host}:{int(port) + 1}", sasl))
            done = subprocess.run(sys.argv[1:], check=False,
                                  env={**os.environ, "KAFKA_SASL_BOOTSTRAP": sasl})
        finally:
            servers.down()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
