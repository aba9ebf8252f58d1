//! What is said of a space and of the block under the cursor.

use crate::screen::views::columns::tight;
use crate::space::{Block, Space};
use crate::units;
use shm_layout::event::{Memory, flags};

/// An address, as wide as the largest one needs it.
pub fn address(address: u64, digits: usize) -> String {
    format!("0x{address:0digits$x}")
}

/// Hex digits of this address.
pub const fn digits(address: u64) -> usize {
    let bits = (u64::BITS - address.leading_zeros()) as usize;
    let digits = bits.div_ceil(4);
    if digits == 0 { 1 } else { digits }
}

/// How much is taken and free, and in how many pieces.
pub fn figures(space: &Space) -> Vec<String> {
    let mut pieces = Vec::new();
    let taken = units::bytes(space.taken);
    match (space.banks, space.free) {
        (Some(banks), Some(free)) => {
            let at_most = if space.is_exact() { "" } else { "at most " };
            let largest = space.largest.map_or(0, |(from, to)| to - from);
            pieces.push(format!("{taken} of {} taken", tight(banks.bytes)));
            pieces.push(format!("{at_most}{} free", tight(free)));
            pieces.push(format!("largest free run {at_most}{}", units::bytes(largest)));
            let share = space.fragmentation().map_or_else(|| "  -".to_owned(), |share| format!("{share:>2}%"));
            pieces.push(format!("fragmentation {share}"));
        }
        (Some(_), None) => pieces.push(format!("{taken} taken; what is free is not known")),
        (None, _) => {}
    }
    pieces.push(format!("{:>5} blocks", units::count(space.blocks.len() as u64)));
    pieces
}

/// The same in one short line.
pub fn short_figures(space: &Space) -> Vec<String> {
    let (taken, blocks) = (units::short_bytes(space.taken), units::count(space.blocks.len() as u64));
    match (space.banks, space.free) {
        (Some(banks), Some(_)) => {
            let largest = space.largest.map_or(0, |(from, to)| to - from);
            let share = space.fragmentation().map_or_else(|| " -".to_owned(), |share| format!("{share}%"));
            let whole = units::short_bytes(banks.bytes);
            let run = units::short_bytes(largest);
            vec![
                format!("{taken} of {}", whole.trim_start()),
                format!("run {}", run.trim_start()),
                format!("frag {share}"),
            ]
        }
        (Some(_), None) => vec![format!("{taken} taken,"), format!("{blocks} blocks")],
        (None, _) => vec![format!("{blocks} blocks,"), "lengths not known".to_owned()],
    }
}

/// What the addresses are of.
pub fn banks(space: &Space, memory: Memory) -> String {
    match (space.banks, memory) {
        (Some(banks), _) => format!("per bank, × {} banks", banks.count),
        (None, Memory::SystemMemory) => "host memory, by the process's addresses".to_owned(),
        (None, Memory::Cb) => "per core".to_owned(),
        (None, _) => "per bank".to_owned(),
    }
}

/// The block under the cursor: whose it is and where; then what else is known of it.
pub fn block(space: &Space, block: &Block, digits: usize, now_ns: u64) -> (Vec<String>, Vec<String>) {
    let event = &block.allocation.event;
    let mut first = Vec::new();
    if let Some(who) = space.who.get(block.who) {
        first.push(format!("PID {} {}", who.pid, if who.name.is_empty() { "?" } else { &who.name }));
    }
    match block.bytes {
        Some(_) => first.push(format!("{}..{}", address(block.begin, digits), address(block.end(), digits))),
        None => first.push(format!("from {}", address(block.begin, digits))),
    }
    let all = if block.allocation.has(flags::SIZE_UNKNOWN) { None } else { Some(event.taken()) };
    match (block.bytes, space.banks) {
        (Some(bytes), Some(banks)) if bytes.checked_mul(banks.count) == Some(event.taken()) => {
            first.push(format!("{} × {} = {}", tight(bytes), banks.count, tight(event.taken())));
        }
        (Some(bytes), _) => first.push(format!("{} a bank, {} in all", tight(bytes), tight(event.taken()))),
        (None, _) => first.push(format!("{} in all", all.map_or_else(|| "?".to_owned(), tight))),
    }
    first.push(format!("for {}", units::age(block.allocation.age_ns(now_ns))));
    let mut second = Vec::new();
    match block.allocation.memory {
        Memory::Cb if event.context != 0 => second.push(format!("program {}", event.context)),
        Memory::Cb | Memory::Kernel => {}
        _ if event.context != 0 => second.push(format!("allocator {}", event.context)),
        _ => {}
    }
    second.extend(block.allocation.tag().map(|tag| format!("tag {tag}")));
    second.extend(block.allocation.size().map(|size| format!("{} asked for", tight(size))));
    if crate::buffers::filter::is_system(&block.allocation) {
        second.push("the system's".to_owned());
    }
    if block.allocation.has(flags::GLOBALLY_ALLOCATED) {
        second.push("in an L1 buffer that is counted as such".to_owned());
    }
    second.push(format!("id {}", event.id));
    (first, second)
}
