"""Methods about an instance as a whole: checking it, and deleting everything."""

from collections.abc import Iterator

from google.protobuf.empty_pb2 import Empty

from datamill import names
from datamill.transport import Calls
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import taskapi_pb2 as tasks
from datamill.wire import transaction_v2_pb2 as transactions


class Whole(Calls):
    """Everything there is."""

    def fsck(self, *, zombies_of: str | pfs.Commit | None = None, all_zombies: bool = False) -> Iterator[str]:
        """What is wrong with branches and commits, in words; nothing is changed, and a sound instance says nothing.

        zombies_of: also files of this output commit whose datum is gone. all_zombies: of every newest output.
        """
        request = pfs.FsckRequest()
        if zombies_of is not None:
            request.zombie_target.CopyFrom(names.commit(zombies_of))
        elif all_zombies:
            request.zombie_all = True
        return (answer.error for answer in self.stream(self.pfs.Fsck, request))

    def list_tasks(self, service: str, *, namespace: str = "", group: str = "") -> Iterator[tasks.TaskInfo]:
        """The pieces of work in flight of pps or pfs, in a namespace and a group of it; "" for all."""
        method = self.pps.ListTask if service == "pps" else self.pfs.ListTask
        return self.stream(method, tasks.ListTaskRequest(group=tasks.Group(namespace=namespace, group=group)))

    def delete_all_data(self) -> None:
        """Delete every repo, project and transaction; there must be no pipelines any more. Raises Failed."""
        self.call(self.pfs.DeleteAll, Empty())
        self.call(self.transactions.DeleteAll, transactions.DeleteAllRequest())
