//! A /dev/shm without room, for the tests that run in a mount namespace of their own.

use std::io::Write;
use std::process::{Command, Output};

/// Whether this is the process in which the test is to run: the one with a /dev/shm of so many MiB. The first process starts that
/// one, and waits for it.
pub fn in_small_shm(test: &str, mib: u32) -> bool {
    in_small_shm_with(test, mib, &[])
}

/// The same, and that process has these variables in its environment.
pub fn in_small_shm_with(test: &str, mib: u32, environment: &[(&str, &str)]) -> bool {
    if std::env::var_os("SMALL_SHM").is_some() {
        return true;
    }
    let script = format!(
        "mount -t tmpfs -o size={mib}m small /dev/shm && exec timeout 60 \"$0\" --exact {test} --nocapture --test-threads=1"
    );
    let run = |namespaces: &[&str], script: &str| -> Output {
        Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", script])
            .arg(std::env::current_exe().unwrap())
            .env("SMALL_SHM", "1")
            .envs(environment.iter().copied())
            .output()
            .unwrap_or_else(|error| panic!("unshare: {error}"))
    };
    for namespaces in [&["-m"][..], &["-Urm"]] {
        if !run(namespaces, "mount -t tmpfs small /dev/shm").status.success() {
            continue;
        }
        let output = run(namespaces, &script);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success() && said[0].contains("1 passed"), "{}: {}{}", output.status, said[0], said[1]);
        return false;
    }
    let _said = writeln!(
        std::io::stderr(),
        "\n!!! SKIPPED: {test}: no mount namespace can be had here (unshare -m, unshare -Urm) !!!\n"
    );
    false
}

/// Takes what is left of /dev/shm but for so many KiB.
pub struct Filler(std::fs::File);

const FILLER: &str = "/dev/shm/filler";

impl Filler {
    pub fn but(kib: u64) -> Self {
        let mut file = std::fs::File::create(FILLER).unwrap();
        let block = [0xA5; 4096];
        while file.write_all(&block).is_ok() {}
        let bytes = file.metadata().unwrap().len() / 4096 * 4096;
        file.set_len(bytes - kib * 1024).unwrap();
        Self(file)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.0.set_len(0).unwrap();
        std::fs::remove_file(FILLER).unwrap();
    }
}
