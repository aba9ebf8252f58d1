//! Evidence about a process that does not do what it should.

use std::process::Command;

/// State, signals, what it waits for, the same of its children, and every thread's stack if there is a debugger.
pub fn stuck(pid: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children: String =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok()).collect();
    let family = core::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok()));
    family.map(one).collect()
}

fn one(pid: u32) -> String {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let status = read("status");
    let fields = ["State", "PPid", "Threads", "SigPnd", "ShdPnd", "SigBlk"];
    let told = status.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
    let told = told.collect::<Vec<_>>().join(", ");
    let bt = ["30", "gdb", "-p", &pid.to_string(), "-batch", "-ex", "thread apply all bt 24"];
    let stack = Command::new("timeout").args(bt).output();
    let stack = stack.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let first =
        format!("\n{pid} {}: {told}; in {} {}", read("cmdline").replace('\0', " "), read("wchan"), read("syscall"));
    format!("{first}\n{stack}")
}
