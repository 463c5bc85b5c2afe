"""Whether a path lies on a network file system, where neither locks nor SQLite's write-ahead log can be trusted."""

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
    """The kind of network file system that ``path`` lies on, None if it lies on a local disk or nobody can tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None  # not Linux: there is no table to ask
    resolved = path.resolve()
    best, kind = -1, ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        mount_point = fields[1].replace("\\040", " ")
        # The last of several mounts on one point is the one that is seen, hence >=.
        if resolved.is_relative_to(mount_point) and len(mount_point) >= best:
            best, kind = len(mount_point), fields[2]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None
