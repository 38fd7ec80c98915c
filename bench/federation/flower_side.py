"""The other side of `python -m bench.federation versus-flower`: runs in Flower's environment, `python -m bench.federation.flower_side FOLDER`.

The folder holds a job (job.json), the first model (start.npz), and the examples of each client's bank (bank-N.npz) or none: then every client
answers with noise, and only the messages matter. Results go to result.json there.

Flower's simulation serialises no message. What a client would send is measured by serialising each of its replies with Flower's own
functions as its SuperNode does: the request with the message's head, and one request for each object in it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict  # type: ignore[import-not-found]
from flwr.app.message.message import remove_content_from_message  # type: ignore[import-not-found]
from flwr.client import NumPyClient  # type: ignore[import-not-found]
from flwr.client.mod import secaggplus_mod  # type: ignore[import-not-found]
from flwr.clientapp import ClientApp  # type: ignore[import-not-found]
from flwr.common import ndarrays_to_parameters  # type: ignore[import-not-found]
from flwr.common.serde import message_to_proto  # type: ignore[import-not-found]
from flwr.proto.fleet_pb2 import PushMessagesRequest  # type: ignore[import-not-found]
from flwr.proto.message_pb2 import PushObjectRequest  # type: ignore[import-not-found]
from flwr.proto.node_pb2 import Node  # type: ignore[import-not-found]
from flwr.server import LegacyContext, ServerApp, ServerConfig  # type: ignore[import-not-found]
from flwr.server.strategy import FedAvg as OldFedAvg  # type: ignore[import-not-found]
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow  # type: ignore[import-not-found]
from flwr.serverapp.strategy import FedAvg  # type: ignore[import-not-found]
from flwr.simulation import run_simulation  # type: ignore[import-not-found]
from flwr.supercore.inflatable.inflatable_object import (  # type: ignore[import-not-found]
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from numpy.typing import NDArray

from bench.federation.local import Course, train_bank
from contract.statistics.ranking import average_precision
from federation.learning.learner import Arrays
from federation.learning.numpy_learner import Data, predict

JOB, RESULT, START, TEST, SENT, BEGUN = "job.json", "result.json", "start.npz", "test.npz", "bytes.txt", "begun"
FOLDER = "TILLGUARD_FLOWER_FOLDER"
"""Environment variable: the clients' processes find the job by it."""
CLIPPING_RANGE = 8.0
"""Of SecAgg+: its default."""
STAGES = {"fedavg": 1, "secagg": 4}
"""Replies of a client in a round."""
START_MAX_S, NOT_STARTED = 120.0, 75
"""Seconds until a client must have been asked, and the exit status where none was."""
SHARES = 1.0
"""Every client is every other's neighbour, as in this product for so few."""


def get_folder() -> Path:
    """Of the job."""
    return Path(os.environ[FOLDER])


@lru_cache
def load_job() -> dict[str, Any]:
    """What is to be run."""
    found: dict[str, Any] = json.loads((get_folder() / JOB).read_text(encoding="utf-8"))
    return found


@lru_cache
def load_examples(name: str) -> Data:
    """From a file of the job's folder."""
    with np.load(get_folder() / name) as stored:
        return Data(stored["features"], stored["labels"])


def load_first_model() -> list[NDArray[np.float32]]:
    """What everyone begins with. For each layer weights (inputs, units) and a bias (units,), float32."""
    with np.load(get_folder() / START) as stored:
        return [stored[f"arr_{place}"] for place in range(len(stored.files))]


def compute_answer(base: Arrays, client: int, round_number: int) -> tuple[list[NDArray[np.float32]], int]:
    """A client's new arrays, and how many examples it has.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    if not load_job()["banks"]:
        random = np.random.default_rng(client)
        return [array + random.uniform(-0.1, 0.1, array.shape).astype(np.float32) for array in base], 1
    own = load_examples(f"bank-{client}.npz")
    course, bank = Course(**load_job()["course"]), load_job()["banks"][client]
    return train_bank(base, own, course, bank, round_number), len(own.labels)


def measure_reply(message: Any, context: Any, call_next: Callable[[Any, Any], Any]) -> Any:
    """A client's mod, the outermost: notes the bytes of every reply."""
    (get_folder() / BEGUN).touch()
    reply = call_next(message, context)
    # One write of a short line, appended: the clients' processes do not mix theirs.
    with (get_folder() / SENT).open("a", encoding="utf-8") as file:
        file.write(f"{count_wire_bytes(reply)}\n")
    return reply


def count_wire_bytes(reply: Any) -> int:
    """Of the requests in which a SuperNode sends it."""
    with no_object_id_recompute():
        node, run_id = Node(node_id=reply.metadata.src_node_id), reply.metadata.run_id
        objects = get_all_nested_objects(reply)
        request = PushMessagesRequest(
            node=node,
            messages_list=[message_to_proto(remove_content_from_message(reply))],
            message_object_trees=[get_object_tree(reply)],
        )
        pushed = [
            PushObjectRequest(node=node, run_id=run_id, object_id=name, object_content=found.deflate())
            for name, found in objects.items()
        ]
    return int(request.ByteSize() + sum(each.ByteSize() for each in pushed))


class LegacyClient(NumPyClient):  # type: ignore[misc]
    """A bank to the workflow of SecAgg+, which knows the older interface alone."""

    def __init__(self, client: int) -> None:
        self._client = client

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[list[NDArray[np.float32]], int, dict[str, Any]]:
        """One round of local training. For each layer weights (inputs, units) and a bias (units,), float32."""
        arrays, count = compute_answer(parameters, self._client, int(config["round"]))
        return arrays, count, {}


def train(message: Any, context: Any) -> Any:
    """One round of local training, in the newer interface."""
    base = message.content["arrays"].to_numpy_ndarrays()
    arrays, count = compute_answer(
        base, int(context.node_config["partition-id"]), int(message.content["config"]["server-round"])
    )
    content = RecordDict(
        {"arrays": ArrayRecord(numpy_ndarrays=arrays), "metrics": MetricRecord({"num-examples": count})}
    )
    return Message(content=content, reply_to=message)


class Watch:
    """Notes when each round ended, and what its model is worth."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, float]] = []

    def note(self, number: int, arrays: Arrays) -> None:
        """Called by the server after each round; 0 is before the first.

        `arrays`: for each layer weights (inputs, units) and a bias (units,).
        """
        if number == 0:
            return
        found = {"ended_s": time.perf_counter()}
        if load_job()["banks"]:
            test = load_examples(TEST)
            found["ap"] = average_precision(predict(arrays, test.features), test.labels)
        self.rounds.append(found)


def build_newer_app(watch: Watch) -> tuple[Any, Any]:
    """FedAvg by messages: the server's and the client's app."""
    clients = ClientApp(mods=[measure_reply])
    clients.train()(train)
    server = ServerApp()

    def noted(number: int, record: Any) -> Any:
        watch.note(number, record.to_numpy_ndarrays())
        return MetricRecord()

    def main(grid: Any, _context: Any) -> None:
        count = load_job()["clients"]
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=count, min_available_nodes=count)
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(numpy_ndarrays=load_first_model()),
            num_rounds=load_job()["course"]["rounds"],
            evaluate_fn=noted,
        )

    server.main()(main)
    return server, clients


def build_secure_app(watch: Watch) -> tuple[Any, Any]:
    """FedAvg under SecAgg+."""
    clients = ClientApp(client_fn=_legacy_client, mods=[measure_reply, secaggplus_mod])
    server = ServerApp()

    def noted(number: int, arrays: Arrays, _config: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        watch.note(number, arrays)
        return 0.0, {}

    def main(grid: Any, context: Any) -> None:
        count = load_job()["clients"]
        legacy = LegacyContext(
            context=context,
            config=ServerConfig(num_rounds=load_job()["course"]["rounds"]),
            strategy=OldFedAvg(
                fraction_evaluate=0.0,
                min_fit_clients=count,
                min_available_clients=count,
                initial_parameters=ndarrays_to_parameters(load_first_model()),
                on_fit_config_fn=lambda number: {"round": number},
                evaluate_fn=noted,
            ),
        )
        workflow = SecAggPlusWorkflow(
            num_shares=SHARES,
            reconstruction_threshold=load_job()["threshold"],
            max_weight=load_job()["weight_max"],
            clipping_range=CLIPPING_RANGE,
        )
        DefaultWorkflow(fit_workflow=workflow)(grid, legacy)

    server.main()(main)
    return server, clients


def _legacy_client(context: Any) -> Any:
    return LegacyClient(int(context.node_config["partition-id"])).to_client()


def count_sent(replies: int) -> int:
    """Bytes of all replies; raises ValueError where there are not this many: a client failed, and Flower continues without."""
    lines = (get_folder() / SENT).read_text(encoding="utf-8").split() if (get_folder() / SENT).exists() else []
    if len(lines) != replies:
        raise ValueError(f"{len(lines)} replies instead of {replies}")
    return sum(map(int, lines))


def _end_unless_begun() -> None:
    """On a busy machine one of Ray's processes gives up after 15 s, and the others wait for it forever."""
    deadline_s = time.monotonic() + START_MAX_S
    while not (get_folder() / BEGUN).exists():
        if time.monotonic() > deadline_s:
            os._exit(NOT_STARTED)
        time.sleep(0.5)


def main() -> None:
    """Runs the job of the folder that the environment names."""
    watch, wanted = Watch(), load_job()
    threading.Thread(target=_end_unless_begun, daemon=True).start()
    server, clients = (build_secure_app if wanted["mode"] == "secagg" else build_newer_app)(watch)
    run_simulation(
        server_app=server,
        client_app=clients,
        num_supernodes=wanted["clients"],
        backend_config={
            "init_args": {"num_cpus": wanted["processes"], "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    exchanges = wanted["clients"] * len(watch.rounds)
    mean = count_sent(exchanges * STAGES[wanted["mode"]]) / exchanges
    rounds = [{**one, "bytes_up": mean} for one in watch.rounds]
    (get_folder() / RESULT).write_text(json.dumps({"rounds": rounds}), encoding="utf-8")


if __name__ == "__main__":
    os.environ[FOLDER] = str(Path(sys.argv[1]).resolve())
    # By its name, so that the clients' processes find it; what __main__ holds would travel to them in every message.
    from bench.federation import flower_side  # noqa: PLW0406 - see above

    flower_side.main()
