//! The original's message: one packed little-endian struct for everything, in three sizes, without length, magic or version.
//!
//! ```text
//!   0      4      8        16   17  20     24       32       40                            72       112      144
//!   |type.|device| size   |kind|pad| pid  | id     | time   | answers of the server ...    |        |        |
//!   '------------------- the same in all three -------------'------ zero in what clients send ---------------'
//! ```

use shm_layout::event::Memory;

/// Bytes that carry an event; what follows is zero in everything a client sends.
pub const HEAD: usize = 40;

/// The three generations of the struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// 72 bytes: buffers only.
    First,
    /// 112 bytes: device information.
    Second,
    /// 144 bytes: circular buffers and kernels.
    Third,
}

impl Size {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::First, Self::Second, Self::Third];

    /// Bytes of a message.
    pub const fn bytes(self) -> usize {
        match self {
            Self::First => 72,
            Self::Second => 112,
            Self::Third => 144,
        }
    }

    /// Whether messages of this size may have this type.
    pub const fn knows(self, kind: Kind) -> bool {
        match kind {
            Kind::Alloc | Kind::Free | Kind::Query | Kind::DumpRemaining => true,
            Kind::DeviceInfoQuery => !matches!(self, Self::First),
            Kind::CbAlloc | Kind::CbFree | Kind::KernelLoad | Kind::KernelUnload | Kind::DumpKernels => {
                matches!(self, Self::Third)
            }
        }
    }
}

/// What clients and viewers send. 4 and 7 are the server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A buffer was allocated.
    Alloc = 1,
    /// A buffer was freed; neither its size nor its memory kind is told.
    Free = 2,
    /// The totals of a device are asked for.
    Query = 3,
    /// What is live is to be printed.
    DumpRemaining = 5,
    /// What a device is, or (-1) how many there are.
    DeviceInfoQuery = 6,
    /// A circular buffer was registered.
    CbAlloc = 8,
    /// And is gone.
    CbFree = 9,
    /// A program's binaries were loaded.
    KernelLoad = 10,
    /// And are gone.
    KernelUnload = 11,
    /// The kernels are to be printed.
    DumpKernels = 12,
}

/// The server's answer to [`Kind::Query`].
pub const RESPONSE: u8 = 4;
/// The server's answer to [`Kind::DeviceInfoQuery`].
pub const DEVICE_INFO_RESPONSE: u8 = 7;

impl Kind {
    const fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Alloc,
            2 => Self::Free,
            3 => Self::Query,
            5 => Self::DumpRemaining,
            6 => Self::DeviceInfoQuery,
            8 => Self::CbAlloc,
            9 => Self::CbFree,
            10 => Self::KernelLoad,
            11 => Self::KernelUnload,
            12 => Self::DumpKernels,
            _ => return None,
        })
    }

    /// Whether it asks for something; the others tell of something that their process did.
    pub const fn asks(self) -> bool {
        matches!(self, Self::Query | Self::DumpRemaining | Self::DeviceInfoQuery | Self::DumpKernels)
    }
}

/// The part of a message that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: Kind,
    /// The process's logical device number; -1 in a question for all.
    pub device: i32,
    /// Bytes; 0 where not told.
    pub size: u64,
    /// tt-metal's `BufferType`, or the kind of kernel.
    pub what: u8,
    /// The sender's pid, as it says.
    pub pid: i32,
    /// Address, or a number for a kernel.
    pub id: u64,
    /// The sender's system clock, ns; 0 where not told.
    pub time: u64,
}

fn u64_at(bytes: &[u8; HEAD], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn i32_at(bytes: &[u8; HEAD], at: usize) -> i32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    i32::from_le_bytes(word)
}

impl Message {
    /// The message that these bytes begin with, if its type is known and its padding is zero. Nothing else is judged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let kind = Kind::from_u8(head[0])?;
        let padded = head[1..4] == [0; 3] && head[17..20] == [0; 3];
        padded.then(|| Self {
            kind,
            device: i32_at(head, 4),
            size: u64_at(head, 8),
            what: head[16],
            pid: i32_at(head, 20),
            id: u64_at(head, 24),
            time: u64_at(head, 32),
        })
    }

    /// As [`read`](Self::read), for finding the next message in what is not understood: everything has to be as it would be
    /// from a real client, whose pid is one that `is_sender` knows.
    pub fn find(bytes: &[u8], is_sender: impl Fn(i32) -> bool) -> Option<Self> {
        let message = Self::read(bytes)?;
        let tail = bytes[HEAD..].iter().take(Size::First.bytes() - HEAD).all(|byte| *byte == 0);
        let device = if message.kind.asks() { -1..=1023 } else { 0..=1023 };
        let sound = if message.kind.asks() {
            (message.size, message.what, message.id, message.time) == (0, 0, 0, 0)
                && (message.pid == 0 || is_sender(message.pid))
        } else {
            message.what <= Memory::Trace as u8 && message.size < 1 << 48 && is_sender(message.pid)
        };
        (tail && sound && device.contains(&message.device)).then_some(message)
    }
}

/// What is told of one device, as the original's fields; a field that a size does not have is left out. 0 = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the original's names")]
pub struct Answer {
    pub kind: u8,
    pub device: i32,
    pub dram: u64,
    pub l1: u64,
    pub l1_small: u64,
    pub trace: u64,
    pub cb: u64,
    pub kernel: u64,
    pub total_dram: u64,
    pub total_l1: u64,
    pub arch: u32,
    pub l1_per_core: u32,
    pub available: u32,
    pub devices: u32,
}

impl Answer {
    /// As bytes of this size.
    pub fn encode(&self, size: Size) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        bytes[0] = self.kind;
        bytes[4..8].copy_from_slice(&self.device.to_le_bytes());
        let mut put = |word: &[u8]| bytes.extend_from_slice(word);
        [self.dram, self.l1, self.l1_small, self.trace].iter().for_each(|word| put(&word.to_le_bytes()));
        if size == Size::Third {
            [self.cb, self.kernel].iter().for_each(|word| put(&word.to_le_bytes()));
        }
        if size >= Size::Second {
            [self.total_dram, self.total_l1].iter().for_each(|word| put(&word.to_le_bytes()));
            // DRAM channels and bytes of each are not in a snapshot.
            let words = [self.arch, 0, 0, self.l1_per_core, self.available, self.devices];
            words.iter().for_each(|word| put(&word.to_le_bytes()));
        }
        // The kernel ring's size, use and programs, which no host knows, and padding.
        bytes.resize(size.bytes(), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_fields_where_the_original_has_them() {
        let answer = Answer {
            kind: RESPONSE,
            device: 5,
            dram: 1,
            l1: 2,
            l1_small: 3,
            trace: 4,
            cb: 5,
            kernel: 6,
            total_dram: 7,
            total_l1: 8,
            arch: 9,
            l1_per_core: 10,
            available: 11,
            devices: 12,
        };
        let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let half = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        for size in Size::ALL {
            let bytes = answer.encode(size);
            assert_eq!((bytes.len(), bytes[0], half(&bytes, 4)), (size.bytes(), RESPONSE, 5));
            assert_eq!([40, 48, 56, 64].map(|at| word(&bytes, at)), [1, 2, 3, 4]);
        }
        let (second, third) = (answer.encode(Size::Second), answer.encode(Size::Third));
        assert_eq!([72, 80].map(|at| word(&second, at)), [7, 8]);
        assert_eq!([88, 100, 104, 108].map(|at| half(&second, at)), [9, 10, 11, 12]);
        assert_eq!([72, 80, 88, 96].map(|at| word(&third, at)), [5, 6, 7, 8]);
        assert_eq!([104, 116, 120, 124].map(|at| half(&third, at)), [9, 10, 11, 12]);
    }
}
