"""What drills leave with the kernel carries their name, and goes with the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.drills import mounts, namespaces
from realtime.drills.namespaces import Namespace
from realtime.drills.owner import dead, tag
from realtime.drills.server import FOLDER

GONE = tag().rpartition("-")[0] + "-1"
"""Of a process with this pid that was started in the first moment of the machine: it is no more."""


def test_disks_of_those_that_are_gone_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"wedsync-drill /tmp/{FOLDER}{owner}-disk-x tmpfs rw 0 0" for owner in (GONE, tag())]
    listed = tmp_path / "mounts"
    listed.write_text("\n".join([*lines, "proc /proc proc rw 0 0", f"other /srv/{GONE} ext4 rw 0 0"]), encoding="utf-8")
    monkeypatch.setattr(mounts, "MOUNTS", listed)
    assert mounts.left_behind() == [Path(f"/tmp/{FOLDER}{GONE}-disk-x")]


def test_a_namespace_says_whose_it_is() -> None:
    name = Namespace(3).name
    assert not dead(name) and dead(name.replace(tag(), GONE))


def test_interfaces_have_names_the_kernel_takes() -> None:
    assert len(Namespace(99)._outside) <= 15


@pytest.mark.skipif(not namespaces.permitted(), reason="network namespaces need root and iproute2")
def test_a_namespace_is_gone_afterwards_and_nothing_of_it_stays() -> None:
    with Namespace(98) as namespace:
        with namespace.socket() as inside:
            assert inside.fileno() >= 0
        namespace.move()
        namespace.link(up=False)
        namespace.link(up=True)
        assert namespace.name in namespaces.run("ip", "netns", "list")
    assert namespace.name not in namespaces.run("ip", "netns", "list")
    assert namespace._outside not in namespaces.run("ip", "link", "show")
