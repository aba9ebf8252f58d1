#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use super::file::{path, read, write};
use super::*;
use crate::history::Window;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A configuration folder of its own, gone with the test.
struct Home(PathBuf);

impl Home {
    fn new(test: &str) -> Self {
        let home = std::env::temp_dir().join(format!("tt_alloc_configuration_{test}_{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        Self(home)
    }

    fn path(&self) -> PathBuf {
        let home = self.0.clone();
        path(|name| (name == "XDG_CONFIG_HOME").then(|| home.clone().into_os_string())).unwrap()
    }

    fn put(&self, text: &str) -> PathBuf {
        fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        fs::write(self.path(), text).unwrap();
        self.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn all() -> Settings {
    Settings {
        view: Some(View::Leaks),
        sort: Some(SortColumn::Dram),
        reversed: Some(true),
        tree: Some(true),
        window: Some(Window::ALL[7]),
        refresh_ms: Some(500),
        units: Some(Units::Si),
        filter: Some(Filter::parse("name:\"a b\" mem>1G").unwrap()),
        mouse: Some(false),
        ascii: Some(false),
        color: Some(Colour::Never),
    }
}

#[test]
fn where_it_lies() {
    let at = |variables: &[(&str, &str)]| {
        let variables = variables.to_vec();
        path(move |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
    };
    let in_folder = |folder: &str| Some(Path::new(folder).join("tt-alloc/alloc-top.toml"));
    assert_eq!(at(&[("HOME", "/home/ann")]), in_folder("/home/ann/.config"));
    assert_eq!(at(&[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/c")]), in_folder("/c"));
    assert_eq!(at(&[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "c")]), in_folder("/home/ann/.config"));
    assert_eq!((at(&[]), at(&[("HOME", "")])), (None, None));
}

#[test]
fn what_is_written_is_read() {
    let home = Home::new("written");
    assert_eq!(read(&home.path()), (Settings::default(), vec![]), "nothing is there");
    write(&home.path(), &all()).unwrap();
    assert_eq!(read(&home.path()), (all(), vec![]));
    let mode = fs::metadata(home.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(home.path().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no half-written file");
    let text = fs::read_to_string(home.path()).unwrap();
    assert!(KEYS.iter().all(|key| text.contains(&format!("{key} = "))), "{text}");
}

#[test]
fn what_others_wrote_stays() {
    let home = Home::new("stays");
    let path = home.put(
        "# mine\nsort = \"pid\" # by number\nnovelty = 7\n\nfilter = 'user:ann'\n[charts]\n# deep\nsort = \"x\"\n",
    );
    let (settings, wrong) = read(&path);
    assert_eq!((settings.sort, wrong.len()), (Some(SortColumn::Pid), 2), "{wrong:?}");
    write(&path, &Settings { sort: Some(SortColumn::L1), units: Some(Units::Si), ..Settings::default() }).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let expected = "# mine\nsort = \"l1\" # by number\nnovelty = 7\n\nfilter = 'user:ann'\nunits = \"si\"\n[charts]\n# deep\nsort = \"x\"\n";
    assert_eq!(text, expected);
}

#[test]
fn what_is_not_understood_is_named_and_the_rest_counts() {
    let home = Home::new("named");
    let path = home.put(
        "view = \"leaks\"\nview2 = 1\n\nrefresh_ms = 7\nunits = \"miles\"\nascii = \"yes\"\nfilter = \"mom>1\"\nsort = 3\nreversed = true\n[color]\n",
    );
    let (settings, wrong) = read(&path);
    assert_eq!(settings, Settings { view: Some(View::Leaks), reversed: Some(true), ..Settings::default() });
    let told = [
        (2, "view2: not a key; there are view sort"),
        (4, "refresh_ms: a number from 50 to"),
        (5, "units: iec si bytes"),
        (6, "ascii: true or false"),
        (7, "filter: mom>1: use mem"),
        (8, "sort: a text in quotes"),
        (10, "color: a single value"),
    ];
    assert_eq!(wrong.len(), told.len(), "{wrong:?}");
    for ((line, why), wrong) in told.iter().zip(&wrong) {
        assert!(wrong.contains(&format!("alloc-top.toml:{line}: {why}")), "{wrong}");
    }
}

#[test]
fn what_is_no_toml_is_told_and_never_overwritten() {
    let home = Home::new("no_toml");
    let path = home.put("sort = \"pid\"\nunits = = \"si\"\n");
    let (settings, wrong) = read(&path);
    assert_eq!((settings, wrong.len()), (Settings::default(), 1));
    assert!(wrong[0].contains("alloc-top.toml:2: "), "{wrong:?}");
    assert!(write(&path, &all()).unwrap_err().contains("line 2"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "sort = \"pid\"\nunits = = \"si\"\n");
    for text in ["\u{1b}[2J = 1\n".as_bytes(), b"x = \"\xff\"", &vec![b'#'; 70_000]] {
        fs::write(&path, text).unwrap();
        let (settings, wrong) = read(&path);
        assert_eq!((settings, wrong.len()), (Settings::default(), 1));
        assert!(!wrong[0].contains('\u{1b}'), "{wrong:?}");
    }
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(read(&path).1.len(), 1, "nobody writes into it: reading it would wait");
    assert!(write(&path, &all()).is_err());
}

#[test]
fn links_of_ones_own_are_followed_those_of_others_are_not() {
    let home = Home::new("links");
    let path = home.put("");
    let kept = home.0.join("kept.toml");
    fs::rename(&path, &kept).unwrap();
    symlink(&kept, &path).unwrap();
    write(&path, &all()).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(read(&kept).0, all());
    fs::remove_file(&kept).unwrap();
    assert!(write(&path, &all()).unwrap_err().contains("leads nowhere"));
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let nobody = nix::unistd::Uid::from_raw(65_534);
    let give = |path: &Path| {
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        nix::unistd::fchownat(nix::fcntl::AT_FDCWD, path, Some(nobody), None, flags).unwrap();
    };
    fs::write(&kept, "view = \"map\"\n").unwrap();
    give(&path);
    assert!(write(&path, &all()).unwrap_err().contains("a link of uid 65534"));
    fs::remove_file(&path).unwrap();
    symlink(&kept, &path).unwrap();
    give(&kept);
    assert!(write(&path, &all()).unwrap_err().contains("a file of uid 65534"));
    assert_eq!(fs::read_to_string(&kept).unwrap(), "view = \"map\"\n");
    fs::remove_file(&path).unwrap();
    give(path.parent().unwrap());
    assert!(write(&path, &all()).unwrap_err().contains("folder belongs to uid 65534"));
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn the_command_line_goes_first() {
    let flags = Settings { refresh_ms: Some(100), ..Settings::default() }.sorted("pid".parse().ok());
    let both = flags.or(all());
    assert_eq!((both.refresh_ms, both.units, both.view), (Some(100), Some(Units::Si), Some(View::Leaks)));
    assert_eq!(both.order(), "pid:asc".parse().ok(), "not turned round by the file");
    assert_eq!(Settings::default().or(all()).order(), "dram:asc".parse().ok());
    assert_eq!(Settings::default().order(), None);
}
