"""Calls a service, listens for the answer only when told to, and prints it; on Eclipse Cyclone DDS.

`python late_caller.py DOMAIN`: has `vla_planner` configured; a line on standard input makes it listen, and it says so
before the answer comes. On DDS a caller is a writer of requests and a reader of answers, which ROS's own clients do not
let come one after the other.
"""

import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import uint8
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from other_vendor import HERE_ONLY

CONFIGURE = 1
POLL_S = 0.01


@dataclass
class Transition(IdlStruct, typename="lifecycle_msgs::msg::dds_::Transition_"):
    id: uint8
    label: str


@dataclass
class Request(IdlStruct, typename="lifecycle_msgs::srv::dds_::ChangeState_Request_"):
    transition: Transition


@dataclass
class Response(IdlStruct, typename="lifecycle_msgs::srv::dds_::ChangeState_Response_"):
    success: bool


def main(domain_id: int) -> None:
    encoding = Policy.DataRepresentation(use_cdrv0_representation=True)
    reliable = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10), encoding)
    domain = Domain(domain_id, HERE_ONLY)
    participant = DomainParticipant(domain_id)
    writer = DataWriter(participant, Topic(participant, "rq/vla_planner/change_stateRequest", Request), qos=reliable)
    while not writer.get_matched_subscriptions():
        time.sleep(POLL_S)
    writer.write(Request(Transition(CONFIGURE, "")))
    sys.stdin.readline()
    reader = DataReader(participant, Topic(participant, "rr/vla_planner/change_stateReply", Response), qos=reliable)
    while not reader.get_matched_publications():
        time.sleep(POLL_S)
    sys.stdout.write("listens\n")
    sys.stdout.flush()
    while domain is not None:
        for sample in reader.take():
            sys.stdout.write(f"{sample.success}\n")
            return
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(int(sys.argv[1]))
