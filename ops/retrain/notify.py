"""Notifications: a command that gets the event as JSON on standard input, a webhook, or both."""

import json
import subprocess
import urllib.request
from typing import Any

from ops.retrain.settings import Notify


def notify(settings: Notify, event: dict[str, Any]) -> list[str]:
    """Send the notifications; returns failures, one line each. Never raises, since a failed message changes
    no verdict.
    """
    content = json.dumps(event, sort_keys=True).encode()
    troubles = []
    if settings.command:
        try:
            done = subprocess.run(
                settings.command, input=content, capture_output=True, timeout=settings.timeout, check=False
            )
            if done.returncode:
                troubles.append(f"{settings.command[0]}: exit code {done.returncode}")
        except (OSError, subprocess.TimeoutExpired) as error:
            troubles.append(f"{settings.command[0]}: {error}")
    if settings.webhook:
        request = urllib.request.Request(
            settings.webhook, content, {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=settings.timeout):
                pass
        except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors
            troubles.append(f"webhook: {error}")
    return troubles
