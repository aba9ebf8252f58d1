//! Which device of the driver is which chip.
//!
//! A process tells UMD's unique id of a chip, which is not the driver's ASIC id in general: it is that id where UMD has it from
//! the chip's ethernet cores (Wormhole) or on a Galaxy, else the board's serial number, or on a Blackhole that number with the
//! chip's place on the board (`serial << 5 | place`). So a device may be several chips, and the other way round: what cannot be
//! told apart is left unmatched.

use super::Device;
use core::borrow::Borrow;
use shm_layout::event::Arch;
use shm_layout::stats::{Chip, UNKNOWN};

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// By chip: its device.
    pub device_of: Vec<Option<usize>>,
    /// By device: it is no chip of these.
    pub is_spare: Vec<bool>,
}

/// Matches each chip with at most one device, and each device with at most one chip.
pub fn matching(devices: &[impl Borrow<Device>], chips: &[Chip]) -> Matching {
    let devices: Vec<&Device> = devices.iter().map(Borrow::borrow).collect();
    let mut device_of: Vec<Option<usize>> = vec![None; chips.len()];
    let mut taken = vec![false; devices.len()];
    let mut may_be = vec![false; devices.len()];
    for relation in [same_asic, same_board] {
        let free_chips: Vec<usize> = (0..chips.len()).filter(|at| device_of[*at].is_none()).collect();
        let free_devices: Vec<usize> = (0..devices.len()).filter(|at| !taken[*at]).collect();
        for device in &free_devices {
            let mine: Vec<usize> =
                free_chips.iter().copied().filter(|chip| relation(devices[*device], &chips[*chip])).collect();
            may_be[*device] |= !mine.is_empty();
            let [chip] = mine[..] else { continue };
            let rivals = free_devices.iter().filter(|other| relation(devices[**other], &chips[chip]));
            if rivals.count() == 1 {
                device_of[chip] = Some(*device);
                taken[*device] = true;
            }
        }
    }
    Matching { device_of, is_spare: may_be.iter().map(|may_be| !may_be).collect() }
}

fn same_asic(device: &Device, chip: &Chip) -> bool {
    let asic = device.telemetry.asic_id;
    chip.id_is_logical == 0 && asic != UNKNOWN && asic == chip.chip_id
}

fn same_board(device: &Device, chip: &Chip) -> bool {
    let serial = device.telemetry.serial;
    let blackhole = device.arch == Arch::Blackhole;
    let by_id = chip.id_is_logical == 0 && (chip.chip_id == serial || blackhole && chip.chip_id >> 5 == serial);
    serial != UNKNOWN && (by_id || chip.board_id == serial)
}
