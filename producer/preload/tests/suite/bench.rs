//! What all tests share: a Python with ttnn, and our binaries.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Everything that tests share.
pub struct Bench {
    pub(super) python: PathBuf,
    pub(super) aggregator: PathBuf,
    pub(super) tt_alloc: PathBuf,
    pub(super) hooks: PathBuf,
    pub(super) testbed: PathBuf,
    /// Kernel cache and directories to run in.
    pub(super) scratch: PathBuf,
}

/// The bench, made by the first test that asks; `None` where ttnn cannot be had, and a failure of that in CI.
pub fn provisioned(test: &str) -> Option<&'static Bench> {
    static BENCH: OnceLock<Result<Bench, String>> = OnceLock::new();
    let bench = BENCH.get_or_init(|| {
        let made = Bench::make(None);
        if let Err(why) = &made {
            let bar = "!".repeat(78);
            // Not eprintln!: the test harness would swallow it.
            let _ = writeln!(
                std::io::stderr(),
                "\n{bar}\n!! THE TTNN SUITE IS SKIPPED: nothing that follows was compared with tt-metal.\n\
                 !!\n{}\n!!\n!! Wanted: Python 3.12 or 3.10, gcc-riscv64-unknown-elf, PyPI. See docs/testing.md.\n{bar}\n",
                why.trim_end().lines().map(|line| format!("!! {line}")).collect::<Vec<_>>().join("\n"),
            );
        }
        made
    });
    match bench {
        Ok(bench) => Some(bench),
        Err(why) if std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false") => {
            panic!("{test} needs ttnn, and CI is set: {why}")
        }
        Err(_) => None,
    }
}

/// A ttnn wheel and the Python that it is for.
#[derive(Clone, Copy, Debug)]
pub struct Wheel<'a> {
    pub version: &'a str,
    pub python: &'a str,
}

impl Bench {
    /// One with this wheel in a directory of its own, or the usual one.
    pub fn make(wheel: Option<Wheel<'_>>) -> Result<Self, String> {
        let mut setup = Command::new(Path::new(TESTBED).join("setup.sh"));
        let scratch = target().join(match wheel {
            None => "ttnn".to_owned(),
            Some(Wheel { version, python }) => {
                setup.env("TTNN_VERSION", version).env("TTNN_PYTHON", python).env_remove("PYTHON");
                format!("ttnn-{version}-python{python}")
            }
        });
        let setup = setup.arg(&scratch).stdin(Stdio::null()).output();
        let setup = setup.map_err(|error| format!("setup.sh: {error}"))?;
        if !setup.status.success() {
            return Err(format!("setup.sh: {}\n{}", setup.status, String::from_utf8_lossy(&setup.stderr)));
        }
        Ok(Self::with(PathBuf::from(String::from_utf8_lossy(&setup.stdout).trim()), scratch))
    }

    /// One without ttnn: this program is run in the place of Python.
    pub fn of_program(program: PathBuf) -> Self {
        let scratch = program.with_file_name("runs");
        Self::with(program, scratch)
    }

    fn with(python: PathBuf, scratch: PathBuf) -> Self {
        let profile = profile();
        build(&target(), &profile);
        let built = |name: &str| {
            let path = profile.join(name);
            assert!(path.is_file(), "{} was not built", path.display());
            path
        };
        Self {
            python,
            aggregator: built("aggregator"),
            tt_alloc: built("tt-alloc"),
            hooks: built("libtt_alloc_preload.so"),
            testbed: PathBuf::from(TESTBED),
            scratch,
        }
    }
}

const TESTBED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ttnn");

/// <target>/<profile>, of <target>/<profile>/deps/<this test>.
fn profile() -> PathBuf {
    let me = std::env::current_exe().expect("this test has a path");
    me.ancestors().nth(2).expect("in a profile's directory").to_owned()
}

fn target() -> PathBuf {
    profile().parent().expect("in a target directory").to_owned()
}

/// The binaries of the other packages, which cargo does not build for the tests of this one.
fn build(target: &Path, profile: &Path) {
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "aggregator", "--package", "tui", "--package", "preload", "--profile"])
        .arg(name)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "cargo build: {}", String::from_utf8_lossy(&built.stderr));
}
