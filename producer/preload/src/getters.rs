//! The const getters of tt-metal that the hooks ask, each resolved once and each optional.
//!
//! Signatures follow the Itanium C++ ABI: `this` is the first argument; a class that is not trivially
//! copyable (`std::vector`) is returned through a hidden first argument; a class of two words that is
//! (`xy_pair`) comes back in two registers, as a `#[repr(C)]` struct of two words does in the C ABI.
//! None of these functions throws for the live objects that they are asked about; they are
//! `C-unwind` nevertheless.

use crate::next::find;
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

/// `xy_pair` (CoreCoord): `{ size_t x; size_t y; }`, trivially copyable, returned in rax:rdx.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) x: usize,
    pub(crate) y: usize,
}

/// `std::vector<T>` of libstdc++: begin, end, end of storage. Returned through a hidden pointer.
#[repr(C)]
pub(crate) struct CxxVector<T> {
    begin: *const T,
    end: *const T,
    storage: *const T,
}

type Object = *const c_void;
type SizeGetter = unsafe extern "C-unwind" fn(Object) -> u64;
type IntGetter = unsafe extern "C-unwind" fn(Object) -> u32;

/// `DeviceAddr get(const BufferType&) const`, `uint32_t get(const BufferType&) const`.
type KindGetter = unsafe extern "C-unwind" fn(Object, *const u32) -> u64;

/// What this version of tt-metal can be asked; `None` where it does not export the getter.
pub(crate) struct Getters {
    /// `size_t Buffer::unique_id() const` (0.79 and later, like the other getters of Buffer).
    pub(crate) buffer_id: Option<SizeGetter>,
    /// `DeviceAddr Buffer::size() const`
    pub(crate) buffer_size: Option<SizeGetter>,
    /// `BufferType Buffer::buffer_type() const`, an enum of 32 bits
    pub(crate) buffer_type: Option<IntGetter>,
    /// `uint32_t Buffer::address() const`
    pub(crate) buffer_address: Option<IntGetter>,
    /// `DeviceAddr Buffer::aligned_size_per_bank() const`
    pub(crate) buffer_bank_bytes: Option<SizeGetter>,
    /// `IDevice* Buffer::device() const`
    pub(crate) buffer_device: Option<unsafe extern "C-unwind" fn(Object) -> Object>,
    /// `uint32_t AllocatorImpl::get_num_banks(const BufferType&) const`
    pub(crate) banks: Option<KindGetter>,
    /// `DeviceAddr AllocatorImpl::get_bank_size(const BufferType&) const`
    pub(crate) bank_size: Option<KindGetter>,
    /// `uint32_t CoreRangeSet::num_cores() const`
    pub(crate) cores: Option<IntGetter>,
    /// `tt::ARCH Device::arch() const`
    pub(crate) device_arch: Option<IntGetter>,
    /// `CoreCoord Device::logical_grid_size() const`
    pub(crate) device_grid: Option<unsafe extern "C-unwind" fn(Object) -> Pair>,
    /// `uint32_t Device::l1_size_per_core() const`
    pub(crate) device_l1: Option<IntGetter>,
    /// `int Device::num_dram_channels() const`
    pub(crate) device_channels: Option<IntGetter>,
    /// `uint32_t Device::dram_size_per_channel() const`
    pub(crate) device_channel_bytes: Option<IntGetter>,
    /// `const std::unique_ptr<AllocatorImpl>& Device::allocator_impl() const`
    pub(crate) device_allocator: Option<unsafe extern "C-unwind" fn(Object) -> *const Object>,
    /// `std::vector<IDevice*> MeshDevice::get_devices() const`
    mesh_devices: Option<unsafe extern "C-unwind" fn(*mut CxxVector<Object>, Object) -> *mut c_void>,
    /// `std::vector<int> MeshDevice::get_device_ids() const`
    mesh_ids: Option<unsafe extern "C-unwind" fn(*mut CxxVector<c_int>, Object) -> *mut c_void>,
    /// `operator delete(void*)`, what frees the vectors above
    delete: Option<unsafe extern "C" fn(*mut c_void)>,
    /// First words of a Device and of a MeshDevice: their tables of virtual functions.
    device_table: usize,
    mesh_table: usize,
}

/// What an `IDevice*` is, told by the table of virtual functions that its first word names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A Device: one chip.
    Device,
    /// A MeshDevice: the chips of a mesh or a submesh.
    Mesh,
    /// Neither (a test double).
    Other,
}

macro_rules! symbol {
    ($name:literal) => {{
        let at = find($name);
        // SAFETY: null or the address of the function whose mangled name stands here, and the field
        // that this is stored into has its signature; Option of a function pointer holds null as None.
        unsafe { transmute::<*mut c_void, _>(at) }
    }};
}

impl Getters {
    /// The getters of this process. Called only from hooks, when libtt_metal.so is there.
    pub(crate) fn get() -> &'static Self {
        static GETTERS: OnceLock<Getters> = OnceLock::new();
        GETTERS.get_or_init(Self::resolve)
    }

    fn resolve() -> Self {
        Self {
            buffer_id: symbol!(c"_ZNK2tt8tt_metal6Buffer9unique_idEv"),
            buffer_size: symbol!(c"_ZNK2tt8tt_metal6Buffer4sizeEv"),
            buffer_type: symbol!(c"_ZNK2tt8tt_metal6Buffer11buffer_typeEv"),
            buffer_address: symbol!(c"_ZNK2tt8tt_metal6Buffer7addressEv"),
            buffer_bank_bytes: symbol!(c"_ZNK2tt8tt_metal6Buffer21aligned_size_per_bankEv"),
            buffer_device: symbol!(c"_ZNK2tt8tt_metal6Buffer6deviceEv"),
            banks: symbol!(c"_ZNK2tt8tt_metal13AllocatorImpl13get_num_banksERKNS0_10BufferTypeE"),
            bank_size: symbol!(c"_ZNK2tt8tt_metal13AllocatorImpl13get_bank_sizeERKNS0_10BufferTypeE"),
            cores: symbol!(c"_ZNK2tt8tt_metal12CoreRangeSet9num_coresEv"),
            device_arch: symbol!(c"_ZNK2tt8tt_metal6Device4archEv"),
            device_grid: symbol!(c"_ZNK2tt8tt_metal6Device17logical_grid_sizeEv"),
            device_l1: symbol!(c"_ZNK2tt8tt_metal6Device16l1_size_per_coreEv"),
            device_channels: symbol!(c"_ZNK2tt8tt_metal6Device17num_dram_channelsEv"),
            device_channel_bytes: symbol!(c"_ZNK2tt8tt_metal6Device21dram_size_per_channelEv"),
            device_allocator: symbol!(c"_ZNK2tt8tt_metal6Device14allocator_implEv"),
            mesh_devices: symbol!(c"_ZNK2tt8tt_metal11distributed10MeshDevice11get_devicesEv"),
            mesh_ids: symbol!(c"_ZNK2tt8tt_metal11distributed10MeshDevice14get_device_idsEv"),
            delete: symbol!(c"_ZdlPv"),
            device_table: table(c"_ZTVN2tt8tt_metal6DeviceE"),
            mesh_table: table(c"_ZTVN2tt8tt_metal11distributed10MeshDeviceE"),
        }
    }

    /// What this device is.
    ///
    /// # Safety
    /// `device` is null or a live `IDevice*`.
    pub(crate) unsafe fn class(&self, device: Object) -> Class {
        if device.is_null() {
            return Class::Other;
        }
        // SAFETY: an IDevice has virtual functions, so its first word is its table; the caller keeps it alive.
        match unsafe { *device.cast::<usize>() } {
            0 => Class::Other,
            table if table == self.device_table => Class::Device,
            table if table == self.mesh_table => Class::Mesh,
            _ => Class::Other,
        }
    }

    /// The devices of a mesh, and their logical numbers where tt-metal gives one for each.
    ///
    /// # Safety
    /// `mesh` is a live `MeshDevice*`.
    pub(crate) unsafe fn mesh(&self, mesh: Object) -> (Vec<Object>, Vec<u32>) {
        // SAFETY: the getters fill the vectors they are given; the caller keeps `mesh` alive.
        let devices = unsafe { self.vector(self.mesh_devices, mesh) };
        // SAFETY: as above.
        let ids = unsafe { self.vector(self.mesh_ids, mesh) };
        (devices, ids.into_iter().map(|id: c_int| id as u32).collect())
    }

    unsafe fn vector<T: Copy>(
        &self,
        getter: Option<unsafe extern "C-unwind" fn(*mut CxxVector<T>, Object) -> *mut c_void>,
        object: Object,
    ) -> Vec<T> {
        let (Some(getter), Some(delete)) = (getter, self.delete) else { return Vec::new() };
        let mut from = CxxVector { begin: std::ptr::null(), end: std::ptr::null(), storage: std::ptr::null() };
        // SAFETY: the getter constructs a vector in `from`; `object` is alive, says the caller.
        unsafe { getter(&raw mut from, object) };
        if from.begin.is_null() || from.end <= from.begin || from.storage < from.end {
            if !from.begin.is_null() {
                // SAFETY: the vector's own storage, freed as its destructor would.
                unsafe { delete(from.begin.cast_mut().cast()) };
            }
            return Vec::new();
        }
        // SAFETY: begin..end are the elements of one vector.
        let items = unsafe { std::slice::from_raw_parts(from.begin, from.end.offset_from(from.begin) as usize) }.to_vec();
        // SAFETY: the vector's own storage, freed as its destructor would.
        unsafe { delete(from.begin.cast_mut().cast()) };
        items
    }
}

/// Where the table of virtual functions of a class begins for its objects: behind the two words
/// (offset to top, type information) of the exported symbol. 0 if the class is not exported.
fn table(name: &CStr) -> usize {
    let at = find(name) as usize;
    if at == 0 { 0 } else { at + 2 * size_of::<usize>() }
}
