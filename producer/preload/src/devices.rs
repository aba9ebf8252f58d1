//! Devices: the hooks that see chips open and close.

use crate::getters::{Getters, Span};
use crate::guard::{SystemWork, aside, enabled};
use crate::next::next;
use crate::{chips, scopes};
use std::ffi::{c_int, c_void};

type Object = *const c_void;

type Construct =
    unsafe extern "C-unwind" fn(Object, Object, Object, c_int, u8, usize, usize, Span, bool, u32, u32, usize);
type Initialize = unsafe extern "C-unwind" fn(Object, u8, usize, usize, usize, Span, bool) -> bool;
type Close = unsafe extern "C-unwind" fn(Object) -> bool;
type Provider = unsafe extern "C-unwind" fn(Object, u64, c_int, bool, bool);
type Plain = unsafe extern "C-unwind" fn(Object);
type Dispatch = unsafe extern "C-unwind" fn(Object, Object);

/// `Device::Device(MetalEnv*, MetalContext*, int id, uint8_t queues, size_t l1_small, size_t trace,
/// std::span<const uint32_t> remap, bool minimal, uint32_t, uint32_t, size_t)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6DeviceC1EPNS0_8MetalEnvEPNS0_12MetalContextEihmmSt4spanIKjLm18446744073709551615EEbjjm")]
#[allow(clippy::too_many_arguments)] // tt-metal's signature, not ours
pub unsafe extern "C-unwind" fn construct(
    device: Object,
    env: Object,
    context: Object,
    id: c_int,
    queues: u8,
    l1_small: usize,
    trace: usize,
    remap: Span,
    minimal: bool,
    core: u32,
    worker: u32,
    start: usize,
) {
    let next = next!(
        c"_ZN2tt8tt_metal6DeviceC1EPNS0_8MetalEnvEPNS0_12MetalContextEihmmSt4spanIKjLm18446744073709551615EEbjjm",
        Construct
    );
    if enabled() {
        aside(|| {
            chips::born(device, id as u32);
            // SAFETY: tt-metal makes the device in this context.
            if let Some(unique) = unsafe { Getters::get().unique_id(context, id as u32) } {
                chips::identify(id as u32, unique);
            }
        });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(device, env, context, id, queues, l1_small, trace, remap, minimal, core, worker, start) }
}

/// `SharedMemoryStatsProvider(uint64_t chip_unique_id, int device_id, bool, bool)`: made once for each
/// opened device, unless tt-metal's own tracking is disabled.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal25SharedMemoryStatsProviderC1Emibb")]
pub unsafe extern "C-unwind" fn provider(this: Object, unique: u64, id: c_int, first: bool, second: bool) {
    let next = next!(c"_ZN2tt8tt_metal25SharedMemoryStatsProviderC1Emibb", Provider);
    if enabled() {
        aside(|| chips::identify(id as u32, unique));
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(this, unique, id, first, second) }
}

/// `bool Device::initialize(uint8_t, size_t, size_t, size_t, std::span<const uint32_t>, bool minimal)`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6Device10initializeEhmmmSt4spanIKjLm18446744073709551615EEb")]
pub unsafe extern "C-unwind" fn initialize(
    device: Object,
    queues: u8,
    l1_small: usize,
    trace: usize,
    start: usize,
    remap: Span,
    minimal: bool,
) -> bool {
    let next = next!(c"_ZN2tt8tt_metal6Device10initializeEhmmmSt4spanIKjLm18446744073709551615EEb", Initialize);
    // SAFETY: the arguments are passed on as they came.
    let done = unsafe { next(device, queues, l1_small, trace, start, remap, minimal) };
    if enabled() {
        aside(|| {
            if let Some(number) = chips::number(device) {
                // SAFETY: the device has just been initialised.
                unsafe { chips::announce(device, number) };
            }
        });
    }
    done
}

/// `bool Device::close()`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6Device5closeEv")]
pub unsafe extern "C-unwind" fn close(device: Object) -> bool {
    let next = next!(c"_ZN2tt8tt_metal6Device5closeEv", Close);
    // SAFETY: the arguments are passed on as they came.
    let done = unsafe { next(device) };
    if enabled() {
        aside(|| {
            if let Some(number) = chips::number(device) {
                chips::closed(number, || {
                    scopes::chip_closed(number);
                    crate::programs::chip_closed(number);
                });
            }
        });
    }
    done
}

/// `Device::~Device()`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6DeviceD1Ev")]
pub unsafe extern "C-unwind" fn destroy(device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6DeviceD1Ev", Plain);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(device) };
    if enabled() {
        aside(|| chips::gone(device));
    }
}

/// `MeshDevice::~MeshDevice()`: its address may be another's next.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal11distributed10MeshDeviceD1Ev")]
pub unsafe extern "C-unwind" fn destroy_mesh(mesh: Object) {
    let next = next!(c"_ZN2tt8tt_metal11distributed10MeshDeviceD1Ev", Plain);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(mesh) };
    if enabled() {
        chips::new_era();
    }
}

/// `void Device::configure_fabric()`: what is allocated and loaded inside is the fabric's.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6Device16configure_fabricEv")]
pub unsafe extern "C-unwind" fn configure_fabric(device: Object) {
    let next = next!(c"_ZN2tt8tt_metal6Device16configure_fabricEv", Plain);
    let _system = enabled().then(SystemWork::fabric);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(device) }
}

/// `void Device::configure_command_queue_programs(DispatchTopology*)`: what is allocated and loaded inside is
/// the dispatcher's.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6Device32configure_command_queue_programsEPNS0_16DispatchTopologyE")]
pub unsafe extern "C-unwind" fn configure_command_queues(device: Object, topology: Object) {
    let next = next!(c"_ZN2tt8tt_metal6Device32configure_command_queue_programsEPNS0_16DispatchTopologyE", Dispatch);
    let _system = enabled().then(SystemWork::dispatch);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(device, topology) }
}
