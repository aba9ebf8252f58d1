//! A program or library on disk, asked for the names of addresses.
//!
//! Only the very file that the process has loaded tells anything: its build id must be the one that was told. Debug information gives
//! functions (those in line, too), files and lines; without it the symbol tables give functions.

use super::demangle::demangle;
use addr2line::Context;
use addr2line::gimli::{self, EndianSlice, LittleEndian};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use shm_layout::stacks::Module;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

/// Larger files are not read.
const MOST_BYTES: u64 = 1 << 30;
/// Functions that one address may be in, one in line in the other.
const MOST_IN_LINE: usize = 32;

/// What an address is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line there.
    pub line: Option<u32>,
}

/// Names by address in the file: of each the functions that it is in, the innermost first.
pub type Names = HashMap<u64, Vec<Function>>;

/// Looks these addresses (as the file has them) up. Empty where there is no such file, or it is not the one that was loaded. To be asked about
/// one's own processes only: others might name a file that does something when it is read.
pub fn names(module: &Module, addresses: &BTreeSet<u64>) -> Names {
    let Some((path, build_id)) = module.path().zip(module.build_id()) else { return Names::new() };
    // A relative one is relative to where the process was then.
    if !path.starts_with(b"/") {
        return Names::new();
    }
    let Some(bytes) = read(OsStr::from_bytes(path)) else { return Names::new() };
    // Whatever a strange file does to a parser costs its names only.
    std::panic::catch_unwind(|| look_up(&bytes, build_id, addresses)).ok().flatten().unwrap_or_default()
}

/// The file's bytes, read and not mapped: it may be cut short at any moment.
fn read(path: &OsStr) -> Option<Vec<u8>> {
    // Looked at before it is opened: opening a device does something.
    let seen = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let stat = fstat(&seen).ok()?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let size = u64::try_from(stat.st_size).ok()?;
    if !regular || size > MOST_BYTES {
        return None;
    }
    let again = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let file = open(again.as_str(), OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    File::from(file).take(size).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn look_up(bytes: &[u8], build_id: &[u8], addresses: &BTreeSet<u64>) -> Option<Names> {
    let file = object::File::parse(bytes).ok()?;
    if file.build_id().ok()? != Some(build_id) {
        return None;
    }
    let section = |id: gimli::SectionId| {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default();
        Ok::<_, gimli::Error>(EndianSlice::new(data, LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section).ok();
    let context = dwarf.and_then(|dwarf| Context::from_dwarf(dwarf).ok());
    let symbols = symbols(&file);
    let found = addresses.iter().map(|address| {
        let mut functions = context.as_ref().map(|context| in_line(context, *address)).unwrap_or_default();
        match functions.last_mut() {
            Some(last) if last.name.is_some() => {}
            // A line without a function: of assembler, say.
            Some(last) => last.name = symbol(&symbols, *address).map(demangle),
            None => functions.extend(
                symbol(&symbols, *address).map(|name| Function { name: Some(demangle(name)), ..Function::default() }),
            ),
        }
        (*address, functions)
    });
    Some(found.collect())
}

fn in_line(context: &Context<EndianSlice<'_, LittleEndian>>, address: u64) -> Vec<Function> {
    let mut functions = Vec::new();
    // No file has such addresses, and addr2line adds to them.
    if address > u64::MAX / 2 {
        return functions;
    }
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else { return functions };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|function| Some(demangle(&function.raw_name().ok()?)));
        let location = frame.location.as_ref();
        let file = location.and_then(|at| at.file).map(|file| shm_layout::text::clean(file.as_bytes()));
        functions.push(Function { name, file, line: location.and_then(|at| at.line) });
        if functions.len() == MOST_IN_LINE {
            break;
        }
    }
    functions
}

/// (address, end, name) of every function that says how long it is, by address.
fn symbols<'a>(file: &object::File<'a>) -> Vec<(u64, u64, &'a str)> {
    let functions = file
        .symbols()
        .chain(file.dynamic_symbols())
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.size() > 0);
    let mut found: Vec<_> = functions
        .filter_map(|symbol| {
            Some((symbol.address(), symbol.address().checked_add(symbol.size())?, symbol.name().ok()?))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn symbol<'a>(symbols: &[(u64, u64, &'a str)], address: u64) -> Option<&'a str> {
    let behind = symbols.partition_point(|(begin, ..)| *begin <= address);
    // One function may have several names, and lie in another one's bytes.
    let near = symbols[..behind].iter().rev().take(16);
    near.filter(|(_, end, _)| address < *end).map(|(.., name)| *name).next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    /// This very program.
    fn program() -> (Vec<u8>, Module, u64) {
        let path = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let named =
            |symbol: &object::Symbol<'_, '_>| symbol.name().is_ok_and(|name| name.contains("a_function_to_find"));
        let address = file.symbols().find(named).unwrap().address();
        let id = file.build_id().unwrap().unwrap().to_vec();
        let module = Module::at(0, 0, 0).with_path(path.as_os_str().as_bytes()).with_build_id(&id);
        (id, module, address)
    }

    #[inline(never)]
    fn a_function_to_find() -> u32 {
        std::hint::black_box(line!())
    }

    #[test]
    fn only_the_file_that_was_loaded_has_names() {
        a_function_to_find();
        let (id, module, address) = program();
        let addresses = BTreeSet::from([address, u64::MAX]);
        let found = names(&module, &addresses);
        let function = found[&address].last().unwrap();
        assert!(function.name.as_ref().unwrap().ends_with("a_function_to_find"), "{function:?}");
        assert!(function.file.as_ref().unwrap().ends_with("stacks/image.rs"), "{function:?}");
        assert_eq!(found[&u64::MAX], []);
        let other: Vec<u8> = id.iter().map(|byte| !byte).collect();
        for module in [
            module.with_build_id(&other),
            module.with_build_id(&id[1..]),
            module.with_build_id(&[]),
            module.with_path(b"/dev/zero"),
            module.with_path(b"/proc/self/environ"),
            module.with_path(b"."),
        ] {
            assert!(names(&module, &addresses).is_empty(), "{module:?}");
        }
    }

    #[test]
    fn what_is_no_program_has_none() {
        // A small one, for it is looked up often.
        let bytes = std::fs::read("/bin/sh").unwrap();
        let id = object::File::parse(&*bytes).unwrap().build_id().unwrap().unwrap().to_vec();
        let addresses = BTreeSet::from([0, 0x1000, u64::MAX]);
        for end in [0, 1, 64, 4096, bytes.len() / 2] {
            let cut = bytes[..end].to_vec();
            let _some = look_up(&cut, &id, &addresses);
        }
        // Words of the headers, one after the other, as large as can be.
        let mut strange = bytes;
        for at in (16..1024).step_by(4) {
            let word: [u8; 4] = strange[at..at + 4].try_into().unwrap();
            strange[at..at + 4].fill(0xff);
            let _some = look_up(&strange, &id, &addresses);
            strange[at..at + 4].copy_from_slice(&word);
        }
    }
}
