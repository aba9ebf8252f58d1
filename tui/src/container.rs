//! The container or job that a process runs in, by the names of its control groups.

use shm_layout::{procfs, text};

/// Bytes read of a process's list of control groups.
const MOST: u64 = 4096;
/// Columns of an id: as docker and podman show it.
const ID: usize = 12;

/// What process `pid` runs in: `docker:0123456789ab`, `slurm:4711`, `lxc:web`; empty where it is none that is known.
pub fn of(pid: u32) -> String {
    let groups = procfs::read_bounded(&format!("/proc/{pid}/cgroup"), MOST).unwrap_or_default();
    named(&String::from_utf8_lossy(&groups)).map(|name| text::clean(name.as_bytes())).unwrap_or_default()
}

/// The innermost one that any line names.
fn named(groups: &str) -> Option<String> {
    // `0::/system.slice/docker-<id>.scope`: the path follows the second colon.
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter_map(|path| path.split('/').rev().find_map(|part| one(path, part))).next()
}

fn one(path: &str, part: &str) -> Option<String> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (front, kind) in [
        ("docker-", "docker"),
        ("libpod-", "podman"),
        ("cri-containerd-", "k8s"),
        ("crio-", "k8s"),
        ("nerdctl-", "nerdctl"),
    ] {
        if let Some(id) = name.strip_prefix(front).filter(|id| is_id(id)) {
            return Some(format!("{kind}:{}", &id[..ID]));
        }
    }
    if let Some(job) = name.strip_prefix("job_").filter(|_| path.contains("slurm")) {
        return Some(format!("slurm:{job}"));
    }
    if let Some(name) = name.strip_prefix("lxc.payload.").or_else(|| name.strip_prefix("machine-lxc-")) {
        return Some(format!("lxc:{name}"));
    }
    // Older hierarchies have the id alone, below the name of who made it.
    let kind = ["docker", "kubepods", "libpod", "lxc"].into_iter().find(|kind| path.contains(&format!("/{kind}")))?;
    is_id(name).then(|| format!("{}:{}", if kind == "kubepods" { "k8s" } else { kind }, &name[..ID]))
}

fn is_id(text: &str) -> bool {
    text.len() >= ID && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_jobs_are_known_by_their_groups() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (path, name) in [
            (format!("0::/system.slice/docker-{id}.scope"), "docker:0123456789ab"),
            (format!("12:pids:/docker/{id}"), "docker:0123456789ab"),
            (format!("0::/machine.slice/libpod-{id}.scope/container"), "podman:0123456789ab"),
            (
                format!("0::/kubepods.slice/kubepods-besteffort.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                "k8s:0123456789ab",
            ),
            (format!("3:memory:/kubepods/burstable/pod12-34/{id}"), "k8s:0123456789ab"),
            ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0".to_owned(), "slurm:4711"),
            ("0::/lxc.payload.web".to_owned(), "lxc:web"),
            ("0::/user.slice/user-1000.slice/session-2.scope".to_owned(), ""),
            ("0::/".to_owned(), ""),
            ("4:memory:/process_api/2d306c034f68d39af0f922f9ba53c042".to_owned(), ""),
            ("no colon".to_owned(), ""),
            ("0::/docker-é123456789012.scope".to_owned(), ""),
        ] {
            assert_eq!(named(&path).unwrap_or_default(), name, "{path}");
            assert_eq!(named(&format!("9:name=systemd:/\n{path}\n")).unwrap_or_default(), name, "{path}");
        }
    }

    #[test]
    fn who_is_gone_runs_in_nothing() {
        assert_eq!(of(4_123_456_789), "");
    }
}
