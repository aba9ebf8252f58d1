//! Which module an address lies in: asked of the C library without a lock.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;
use shm_layout::stacks::{Module, PATH_BYTES};
use std::os::unix::ffi::OsStrExt;

/// Our libraries are called so.
const OURS: &[u8] = b"libtt_alloc";

/// glibc's `struct dl_find_object`, with room to spare.
#[repr(C)]
#[derive(Debug)]
struct Found {
    flags: u64,
    begin: *mut c_void,
    end: *mut c_void,
    link_map: *const LinkMap,
    rest: [u64; 16],
}

/// The public beginning of glibc's `struct link_map`.
#[repr(C)]
#[derive(Debug)]
struct LinkMap {
    bias: usize,
    name: *const c_char,
}

type Find = unsafe extern "C" fn(address: *mut c_void, found: *mut Found) -> c_int;

/// Finds modules.
#[derive(Debug)]
pub(super) struct Finder {
    find: Find,
    /// Where our own library lies; nothing, where we are a part of the program.
    own: Range<u64>,
    /// Path of the program, which the loader does not name.
    program: [u8; PATH_BYTES],
    program_bytes: usize,
}

impl Finder {
    /// `None` where the C library cannot be asked. `here` is an address in this library.
    pub(super) fn new(here: usize) -> Option<Self> {
        // SAFETY: a lookup of a name that is a string.
        let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
        if find.is_null() {
            return None;
        }
        // SAFETY: what has this name has this type, in every C library that has it.
        let find = unsafe { core::mem::transmute::<*mut c_void, Find>(find) };
        let path = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        let path = path.as_os_str().as_bytes();
        let mut finder = Self { find, own: 0..0, program: [0; PATH_BYTES], program_bytes: path.len() };
        finder.program.iter_mut().zip(path).for_each(|(to, from)| *to = *from);
        if let Some(module) = finder.find(here as u64) {
            let name = module.path().and_then(|path| path.rsplit(|byte| *byte == b'/').next());
            if name.is_some_and(|name| name.starts_with(OURS)) {
                finder.own = module.begin..module.end;
            }
        }
        Some(finder)
    }

    /// Our own library, if we are in one.
    pub(super) fn own(&self) -> Range<u64> {
        self.own.clone()
    }

    /// The module that has this address in its memory, which it keeps meanwhile: on a stack nothing is unloaded.
    pub(super) fn find(&self, address: u64) -> Option<Module> {
        let mut found = Found {
            flags: 0,
            begin: core::ptr::null_mut(),
            end: core::ptr::null_mut(),
            link_map: core::ptr::null(),
            rest: [0; 16],
        };
        // SAFETY: any address may be asked for; the place for the answer is no smaller than the C library's.
        if unsafe { (self.find)(address as *mut c_void, &raw mut found) } != 0 || found.link_map.is_null() {
            return None;
        }
        // SAFETY: the module is loaded, so its link map is there.
        let LinkMap { bias, name } = unsafe { found.link_map.read() };
        let module = Module::at(found.begin as u64, found.end as u64, bias as u64);
        let name = if name.is_null() {
            &[][..]
        } else {
            // SAFETY: a string of the loader's, which lives as long as the module.
            unsafe { CStr::from_ptr(name) }.to_bytes()
        };
        let module = if name.is_empty() {
            let told = self.program.get(..self.program_bytes.min(PATH_BYTES)).unwrap_or_default();
            Module { path_bytes: self.program_bytes, ..module.with_path(told) }
        } else {
            module.with_path(name)
        };
        // SAFETY: loaded, from `begin` to `end`.
        Some(match unsafe { build_id(&module) } {
            Some(id) => module.with_build_id(id),
            None => module,
        })
    }
}

const PROGRAM_HEADER_BYTES: u64 = size_of::<libc::Elf64_Phdr>() as u64;
const PAGE: u64 = 4096;

/// The linker's build id of a module: found from its ELF header, which lies at its beginning in its first page.
///
/// # Safety
/// The module is loaded, and stays so for as long as the answer is used.
unsafe fn build_id<'a>(module: &Module) -> Option<&'a [u8]> {
    let room = module.end.checked_sub(module.begin)?;
    if room < PAGE || !module.begin.is_multiple_of(PAGE) {
        return None;
    }
    // SAFETY: the first page of a module is mapped, and its beginning is aligned to a page.
    let header = unsafe { &*(module.begin as *const libc::Elf64_Ehdr) };
    let count = u64::from(header.e_phnum);
    let sound = header.e_ident.starts_with(b"\x7fELF\x02")
        && u64::from(header.e_phentsize) == PROGRAM_HEADER_BYTES
        && header.e_phoff.is_multiple_of(8)
        && header.e_phoff.checked_add(count * PROGRAM_HEADER_BYTES).is_some_and(|end| end <= PAGE);
    if !sound {
        return None;
    }
    // SAFETY: they lie in the first page (checked), aligned.
    let headers = unsafe {
        core::slice::from_raw_parts((module.begin + header.e_phoff) as *const libc::Elf64_Phdr, header.e_phnum.into())
    };
    let of = |kind| headers.iter().filter(move |header| header.p_type == kind);
    of(libc::PT_NOTE).find_map(|note| {
        let end = note.p_vaddr.checked_add(note.p_memsz)?;
        let loaded = of(libc::PT_LOAD).any(|load| {
            load.p_flags & libc::PF_R != 0
                && load.p_vaddr <= note.p_vaddr
                && load.p_vaddr.checked_add(load.p_filesz).is_some_and(|loaded| end <= loaded)
        });
        let (begin, bytes) = (module.bias.checked_add(note.p_vaddr)?, usize::try_from(note.p_memsz).ok()?);
        let inside = loaded && module.begin <= begin && module.bias.checked_add(end)? <= module.end;
        // SAFETY: a part of a segment that is loaded for reading (checked), and that nobody writes.
        inside.then(|| unsafe { core::slice::from_raw_parts(begin as *const u8, bytes) }).and_then(id_of_notes)
    })
}

/// The GNU build id among these notes.
fn id_of_notes(mut notes: &[u8]) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    let padded = |bytes: u32| usize::try_from(bytes).ok()?.checked_next_multiple_of(4);
    loop {
        let (head, rest) = notes.split_first_chunk::<12>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_bytes, id_bytes, kind) = (word(0), word(4), word(8));
        let name = rest.get(..padded(name_bytes)?)?;
        let id = rest.get(name.len()..)?;
        if kind == BUILD_ID && name == b"GNU\0" {
            return id.get(..usize::try_from(id_bytes).ok()?);
        }
        notes = id.get(padded(id_bytes)?..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    #[test]
    fn this_program_and_the_c_library_are_found() {
        let here = this_program_and_the_c_library_are_found as *const () as usize;
        let finder = Finder::new(here).unwrap();
        assert_eq!(finder.own(), 0..0, "a program is not our library");
        let program = finder.find(here as u64).unwrap();
        assert_eq!(program.path().unwrap(), std::env::current_exe().unwrap().as_os_str().as_bytes());
        let library = finder.find(libc::getenv as *const () as usize as u64).unwrap();
        assert!(library.path().unwrap().windows(5).any(|part| part == b"libc."), "{library:?}");
        assert!(library.build_id().is_some_and(|id| id.len() == 20), "{library:?}");
        assert_eq!(finder.find(0), None);
    }

    #[test]
    fn notes_are_read_to_their_end_and_no_further() {
        let note = |name: &[u8; 4], kind: u32, id: &[u8]| {
            let bytes = |n: u32| n.to_le_bytes();
            let mut all = [bytes(4), bytes(id.len() as u32), bytes(kind), *name].concat();
            all.extend_from_slice(id);
            all
        };
        let other = note(b"GNU\0", 1, &[0; 16]);
        let all = [other.clone(), note(b"GNU\0", 3, &[7; 20])].concat();
        assert_eq!(id_of_notes(&all), Some(&[7; 20][..]));
        for end in 0..all.len() {
            assert_eq!(id_of_notes(&all[..end]), None, "{end}");
        }
        assert_eq!(id_of_notes(&note(b"ABC\0", 3, &[7; 20])), None);
        assert_eq!(id_of_notes(&[0xff; 64]), None);
    }
}
