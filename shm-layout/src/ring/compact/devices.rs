//! What compaction makes of devices that are opened and closed.
//!
//! ```text
//!   open --- info ---> open:     everything alive on it ends (it was closed before)
//!   open --- close --> closed:   as well
//!   ?    --- info ---> open:     `doubt`: it ends what was alive if the device was open when the reader left off
//! ```

use super::marks::Marks;
use crate::atomics::Word64;
use crate::event::{Kind, MEMORY_KINDS};

/// What is known of one device of the process, by record (index + 1; 0 none).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Device {
    pub(super) info: u32,
    pub(super) close: u32,
    pub(super) resident: u32,
    /// The first record that ends what was read before: stays.
    pub(super) first_end: u32,
    /// The youngest allocation since the last end.
    pub(super) youngest: u32,
    /// An introduction that closes the device first if it was open when the reader left off: who knows.
    pub(super) doubt: u32,
    /// 0 not known, 1 open, 2 closed.
    pub(super) open: u32,
    /// Whether everything that was alive ended for certain once: nothing that was read before is alive any more.
    pub(super) ended: u32,
    pub(super) capacity: [u32; MEMORY_KINDS],
}

pub(super) const DEVICE_WORDS: usize = 8 + MEMORY_KINDS;
const _: () = assert!(size_of::<Device>() == DEVICE_WORDS * 4);

impl<W: Word64> Marks<'_, W> {
    pub(super) fn device_info(&mut self, at: usize, number: usize) {
        if self.devices[number].open == 1 {
            // Opened again: it was closed before.
            self.end_all_of(number);
        }
        let device = self.devices[number];
        for told in [device.info, device.close] {
            if told != device.first_end {
                self.kill_noted(told);
            }
        }
        self.kill_noted(device.resident);
        device.capacity.iter().for_each(|told| self.kill_noted(*told));
        let note = at as u32 + 1;
        let first_end = if self.history && device.first_end == 0 { note } else { device.first_end };
        let doubt = if self.history && device.open == 0 { note } else { device.doubt };
        let Device { youngest, ended, .. } = device;
        self.devices[number] = Device { info: note, first_end, youngest, doubt, open: 1, ended, ..Device::default() };
    }

    pub(super) fn device_close(&mut self, at: usize, number: usize) {
        self.end_all_of(number);
        let device = self.devices[number];
        if device.close != device.first_end {
            self.kill_noted(device.close);
        }
        self.kill_noted(device.resident);
        let note = at as u32 + 1;
        let mut first_end = device.first_end;
        if let Some(first) = (first_end as usize).checked_sub(1)
            && self.event(first).kind == Kind::DeviceInfo as u8
        {
            // A close ends all that an introduction may have ended. And left alone, that would leave the device open, so that
            // the next one would end what comes after this close.
            if first_end != device.info {
                self.kill(first);
            }
            first_end = 0;
        }
        let first_end = if self.history && first_end == 0 { note } else { first_end };
        self.devices[number] = Device { close: note, resident: 0, first_end, open: 2, ..device };
    }

    /// Everything that is alive on a device ends.
    pub(super) fn end_all_of(&mut self, number: usize) {
        let device = &mut self.devices[number];
        device.ended = 1;
        let mut link = core::mem::take(&mut device.youngest);
        while let Some(at) = (link as usize).checked_sub(1) {
            self.steps += 1;
            link = self.older[at];
            // What ended and is there still, too.
            if !self.is_dead(at) {
                let event = self.event(at);
                self.end_late(at, &event);
            }
        }
    }
}
