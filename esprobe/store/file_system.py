"""Whether a path is on a network file system, where neither locks nor SQLite's write-ahead log are reliable."""

from pathlib import Path

_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fhgfs",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    }
)


def network_file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The type of network file system that ``path`` is on; None if it is on a local disk, or unknown."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None  # not Linux: there is no mount table
    resolved = path.resolve()
    best, kind = -1, ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        mount_point = fields[1].replace("\\040", " ")
        # Of several mounts on one point the last is visible, hence >=.
        if resolved.is_relative_to(mount_point) and len(mount_point) >= best:
            best, kind = len(mount_point), fields[2]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None
