//! The configuration file: where it lies, how it is read, and written back.
//!
//! Written to a new file beside it, which then takes its place: a crash leaves the old one or the new one, whole. What is in it and is not ours (comments,
//! keys of other versions) stays as it is. Nothing is written where somebody else could have put the name.

use super::Settings;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use shm_layout::text::clean;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use toml_edit::{Document, DocumentMut, Item, Value};

/// A file that is larger is none of ours, bytes.
const MOST: u64 = 64 << 10;

/// `$XDG_CONFIG_HOME/tt-alloc/alloc-top.toml`, else in `~/.config`; `None` where neither is known.
pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A path that is not absolute is to be ignored, says the XDG specification.
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(base.join("tt-alloc/alloc-top.toml"))
}

/// The path as text that is safe for a terminal.
pub fn shown(path: &Path) -> String {
    clean(path.as_os_str().as_bytes())
}

/// What is set in it, and what in it is not understood, a line each. A file that is not there sets nothing.
pub fn read(path: &Path) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    let name = shown(path);
    let text = match text(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return (settings, Vec::new());
        }
        Err(error) => return (settings, vec![format!("{name}: not read: {error}")]),
    };
    let document = match Document::parse(text.as_str()) {
        Ok(document) => document,
        Err(error) => return (settings, vec![format!("{name}:{}; nothing of it is used", syntax(&text, &error))]),
    };
    let mut wrong = Vec::new();
    for (key, item) in document.iter() {
        let set = item.as_value().ok_or_else(|| "a single value".to_owned()).and_then(|value| settings.set(key, value));
        if let Err(why) = set {
            let line = document.key(key).and_then(toml_edit::Key::span).map_or(1, |span| line_of(&text, span.start));
            wrong.push(format!("{name}:{line}: {}: {why}", clean(key.as_bytes())));
        }
    }
    (settings, wrong)
}

fn syntax(text: &str, error: &toml_edit::TomlError) -> String {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    // The first line of it: it may quote the text.
    format!("{line}: {}", clean(error.message().lines().next().unwrap_or_default().as_bytes()))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

fn text(path: &Path) -> io::Result<String> {
    // A FIFO would make the viewer wait.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let told = file.metadata()?;
    if !told.is_file() || told.len() > MOST {
        return Err(io::Error::other("it is no file of a few lines"));
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes what is set into it; everything else in it stays.
///
/// # Errors
/// Why it is left as it was.
pub fn write(path: &Path, settings: &Settings) -> Result<(), String> {
    let folder = path.parent().ok_or("it has no folder")?;
    let plain = |error: io::Error| error.to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(plain)?;
    let target = target(path)?;
    let folder = target.parent().ok_or("it has no folder")?;
    let owner = fs::metadata(folder).map_err(plain)?.uid();
    if owner != geteuid().as_raw() {
        return Err(format!("its folder belongs to uid {owner}"));
    }
    let before = match text(&target) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.map_err(plain)?,
    };
    let after = with(&before, settings)?;
    let new = folder.join(format!(".alloc-top.toml.{}", std::process::id()));
    let written = put(&new, &after).and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        let _gone = fs::remove_file(&new);
    }
    written.map_err(plain)?;
    // The name, too, is to survive a power cut; where a file system cannot do that, so be it.
    let _synced = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The file that the name means: a link of the user's own is followed, as people who keep these files elsewhere want it.
fn target(path: &Path) -> Result<PathBuf, String> {
    let told = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path.to_owned()),
        told => told.map_err(|error| error.to_string())?,
    };
    let kind = if told.is_symlink() { "a link" } else { "a file" };
    if told.uid() != geteuid().as_raw() {
        return Err(format!("it is {kind} of uid {}", told.uid()));
    }
    if told.is_symlink() {
        let target = fs::canonicalize(path).map_err(|error| format!("its link leads nowhere: {error}"))?;
        let owner = fs::metadata(&target).map_err(|error| error.to_string())?.uid();
        return if owner == told.uid() { Ok(target) } else { Err(format!("it leads to a file of uid {owner}")) };
    }
    Ok(path.to_owned())
}

/// The text with these values in it.
fn with(text: &str, settings: &Settings) -> Result<String, String> {
    let document: Result<DocumentMut, _> = Document::parse(text).map(Document::into_mut);
    let mut document = document.map_err(|error| format!("it is to be mended first, line {}", syntax(text, &error)))?;
    for (key, mut value) in settings.values() {
        // A comment behind the value is part of it.
        if let Some(before) = document.get(key).and_then(Item::as_value) {
            *value.decor_mut() = Value::decor(before).clone();
        }
        document[key] = Item::Value(value);
    }
    Ok(document.to_string())
}

/// A new file, only for its owner.
fn put(path: &Path, text: &str) -> io::Result<()> {
    // Left by a process of this number that died while it wrote.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
