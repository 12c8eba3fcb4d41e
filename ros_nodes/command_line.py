"""What a node's command line may hold beside ROS's own arguments: nothing, or a wish for help."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from onboard_vla.core.process import EXIT_CONFIGURATION, Role

BEGIN, END = "--ros-args", "--"
"""Between these, or up to the line's end, words are rcl's (ROS 2 design, "ROS Command Line Arguments")."""
HELP = ("-h", "--help")


def answered(role: Role, arguments: Sequence[str]) -> int | None:
    """The exit status where words that are not ROS's say what to do (help, or refuse them); None: run the node."""
    words = own_words(arguments)
    if not words:
        return None
    if any(word in HELP for word in words):
        sys.stdout.write(help_text(role))
        return 0
    sys.stderr.write(
        f"{role.name}: expected {BEGIN} before ROS's arguments and no others, found {' '.join(words)}: see --help\n"
    )
    return EXIT_CONFIGURATION


def own_words(arguments: Sequence[str]) -> list[str]:
    """The words outside of ROS's arguments."""
    own, inside = [], False
    for word in arguments:
        if word == BEGIN:
            inside = True
        elif inside and word == END:
            inside = False
        elif not inside:
            own.append(word)
    return own


def help_text(role: Role) -> str:
    """How the node is started, and its parameters with what they accept."""
    from onboard_vla.ros_nodes.deployment_files import described, options_of

    lines = [
        f"usage: python -m onboard_vla.ros_nodes.{role.name} [{BEGIN} [-p NAME:=VALUE] [--params-file FILE] "
        "[-r FROM:=TO] ...]",
        "",
        "Runs until SIGINT or SIGTERM. Parameters:",
    ]
    for option in options_of(role):
        default = "must be set" if option.default is None else f"default {json.dumps(option.default)}"
        lines.append(f"  {option.name}: {described(option)}; {default}")
    if role.settings:
        lines.append(
            f"and {len(role.settings)} settings, named as in the configuration file (`onboard-vla config show`)"
        )
    lines += ["", "Topics, services and parameters of all nodes: docs/ros-interfaces.md"]
    return "\n".join(lines) + "\n"
