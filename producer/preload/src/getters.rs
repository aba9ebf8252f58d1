//! The const getters of tt-metal that the hooks ask, each resolved once and each optional.
//!
//! Signatures follow the Itanium C++ ABI: `this` is the first argument; a class that is not trivially
//! copyable (`std::vector`) is returned through a hidden first argument; a class of two words that is
//! (`xy_pair`) comes back in two registers, as a `#[repr(C)]` struct of two words does in the C ABI.
//! None of these functions throws for the live objects that they are asked about; they are
//! `C-unwind` nevertheless.

use crate::blocks::Maybe;
use crate::next::find;
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute_copy;
use std::sync::OnceLock;

/// `xy_pair` (CoreCoord): `{ size_t x; size_t y; }`, trivially copyable, returned in rax:rdx.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) x: usize,
    pub(crate) y: usize,
}

/// `std::span<const uint32_t>`: two words, in two registers as an argument and as a result.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Span {
    data: *const u32,
    length: usize,
}

/// A node of libstdc++'s `std::unordered_map<int, uint64_t>` (int hashes fast, so no hash is kept).
#[repr(C)]
struct MapNode {
    next: *const MapNode,
    key: c_int,
    value: u64,
}

/// The beginning of that map.
#[repr(C)]
struct Map {
    buckets: *const c_void,
    bucket_count: usize,
    first: *const MapNode,
    elements: usize,
}

/// Where in its mesh a program runs: rows and columns, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    rows: (u32, u32),
    columns: (u32, u32),
}

impl Place {
    /// How many chips it has room for.
    pub(crate) fn area(&self) -> usize {
        let side = |(first, last): (u32, u32)| (last.saturating_sub(first) + 1) as usize;
        side(self.rows) * side(self.columns)
    }

    /// Is the device with this place in row-major order inside?
    pub(crate) fn holds(&self, at: usize, columns: usize) -> bool {
        let (row, column) = ((at / columns) as u32, (at % columns) as u32);
        (self.rows.0..=self.rows.1).contains(&row) && (self.columns.0..=self.columns.1).contains(&column)
    }
}

/// `std::vector<T>` of libstdc++: begin, end, end of storage. Returned through a hidden pointer.
#[repr(C)]
pub(crate) struct CxxVector<T> {
    begin: *const T,
    end: *const T,
    storage: *const T,
}

/// A `CoreRangeSet` by value: one vector of ranges, and room for what a version may add behind it.
#[repr(C)]
struct Ranges {
    ranges: CxxVector<c_void>,
    more: [u64; 29],
}

type Object = *const c_void;
type SizeGetter = unsafe extern "C-unwind" fn(Object) -> u64;
type ObjectGetter = unsafe extern "C-unwind" fn(Object) -> Object;
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
    /// `uint32_t Buffer::num_pages() const`
    pub(crate) buffer_pages: Option<IntGetter>,
    /// `DeviceAddr Buffer::page_size() const`
    pub(crate) buffer_page_size: Option<SizeGetter>,
    /// `std::optional<DeviceAddr> FreeListOpt::get_allocation_size(DeviceAddr address) const`
    pub(crate) block_size: Option<unsafe extern "C-unwind" fn(Object, u64) -> Maybe>,
    /// `IDevice* Buffer::device() const`
    pub(crate) buffer_device: Option<ObjectGetter>,
    /// `uint32_t AllocatorImpl::get_num_banks(const BufferType&) const`
    pub(crate) banks: Option<KindGetter>,
    /// `DeviceAddr AllocatorImpl::get_bank_size(const BufferType&) const`
    pub(crate) bank_size: Option<KindGetter>,
    /// `uint32_t AllocatorImpl::get_base_allocator_addr(const HalMemType&) const`, an enum of 8 bits
    pub(crate) first_address: Option<unsafe extern "C-unwind" fn(Object, *const u8) -> u64>,
    /// `uint32_t CoreRangeSet::num_cores() const`
    pub(crate) cores: Option<IntGetter>,
    /// `CoreRangeSet Kernel::logical_coreranges() const`, returned through a hidden pointer
    kernel_cores: Option<unsafe extern "C-unwind" fn(*mut Ranges, Object) -> *mut c_void>,
    /// `uint32_t Kernel::get_binary_packed_size(IDevice*, int) const`
    binary_bytes: Option<unsafe extern "C-unwind" fn(Object, Object, c_int) -> u32>,
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
    /// `size_t MeshDevice::num_cols() const`
    mesh_columns: Option<SizeGetter>,
    /// `const MeshCoordinate& MeshCoordinateRange::start_coord() const` and `end_coord`
    range_start: Option<ObjectGetter>,
    range_end: Option<ObjectGetter>,
    /// `std::span<const uint32_t> MeshCoordinate::coords() const`, two words in two registers
    coordinates: Option<unsafe extern "C-unwind" fn(Object) -> Span>,
    /// `Cluster& MetalContext::get_cluster()`
    context_cluster: Option<ObjectGetter>,
    /// `ClusterDescriptor* Cluster::get_cluster_desc() const`
    cluster_description: Option<ObjectGetter>,
    /// `const std::unordered_map<int, uint64_t>& ClusterDescriptor::get_chip_unique_ids() const`, of libdevice.so
    chip_ids: Option<ObjectGetter>,
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

/// A getter by its mangled name.
macro_rules! symbol {
    ($name:literal) => {{
        // SAFETY: the field that this is stored into has the signature that the mangled name says.
        unsafe { function(find($name)) }
    }};
}

/// The function at this address, if there is one.
///
/// # Safety
/// `F` is the function pointer type of the function at `at`, if `at` is not null.
unsafe fn function<F: Copy>(at: *mut c_void) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the caller's promise; null was told apart.
    (!at.is_null()).then(|| unsafe { transmute_copy::<*mut c_void, F>(&at) })
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
            buffer_pages: symbol!(c"_ZNK2tt8tt_metal6Buffer9num_pagesEv"),
            buffer_page_size: symbol!(c"_ZNK2tt8tt_metal6Buffer9page_sizeEv"),
            block_size: symbol!(c"_ZNK2tt8tt_metal9allocator11FreeListOpt19get_allocation_sizeEm"),
            buffer_device: symbol!(c"_ZNK2tt8tt_metal6Buffer6deviceEv"),
            banks: symbol!(c"_ZNK2tt8tt_metal13AllocatorImpl13get_num_banksERKNS0_10BufferTypeE"),
            bank_size: symbol!(c"_ZNK2tt8tt_metal13AllocatorImpl13get_bank_sizeERKNS0_10BufferTypeE"),
            first_address: symbol!(c"_ZNK2tt8tt_metal13AllocatorImpl23get_base_allocator_addrERKNS0_10HalMemTypeE"),
            cores: symbol!(c"_ZNK2tt8tt_metal12CoreRangeSet9num_coresEv"),
            kernel_cores: symbol!(c"_ZNK2tt8tt_metal6Kernel18logical_corerangesEv"),
            binary_bytes: symbol!(c"_ZNK2tt8tt_metal6Kernel22get_binary_packed_sizeEPNS0_7IDeviceEi"),
            device_arch: symbol!(c"_ZNK2tt8tt_metal6Device4archEv"),
            device_grid: symbol!(c"_ZNK2tt8tt_metal6Device17logical_grid_sizeEv"),
            device_l1: symbol!(c"_ZNK2tt8tt_metal6Device16l1_size_per_coreEv"),
            device_channels: symbol!(c"_ZNK2tt8tt_metal6Device17num_dram_channelsEv"),
            device_channel_bytes: symbol!(c"_ZNK2tt8tt_metal6Device21dram_size_per_channelEv"),
            device_allocator: symbol!(c"_ZNK2tt8tt_metal6Device14allocator_implEv"),
            mesh_devices: symbol!(c"_ZNK2tt8tt_metal11distributed10MeshDevice11get_devicesEv"),
            mesh_ids: symbol!(c"_ZNK2tt8tt_metal11distributed10MeshDevice14get_device_idsEv"),
            mesh_columns: symbol!(c"_ZNK2tt8tt_metal11distributed10MeshDevice8num_colsEv"),
            range_start: symbol!(c"_ZNK2tt8tt_metal11distributed19MeshCoordinateRange11start_coordEv"),
            range_end: symbol!(c"_ZNK2tt8tt_metal11distributed19MeshCoordinateRange9end_coordEv"),
            coordinates: symbol!(c"_ZNK2tt8tt_metal11distributed14MeshCoordinate6coordsEv"),
            context_cluster: symbol!(c"_ZN2tt8tt_metal12MetalContext11get_clusterEv"),
            cluster_description: symbol!(c"_ZNK2tt7Cluster16get_cluster_descEv"),
            chip_ids: symbol!(c"_ZNK2tt3umd17ClusterDescriptor19get_chip_unique_idsEv"),
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

    /// Columns of a mesh; its devices come in row-major order.
    ///
    /// # Safety
    /// `mesh` is a live `MeshDevice*`.
    pub(crate) unsafe fn columns(&self, mesh: Object) -> usize {
        // SAFETY: a const getter; the caller keeps `mesh` alive.
        self.mesh_columns.map_or(0, |get| unsafe { get(mesh) } as usize)
    }

    /// The rows and columns of a range of coordinates; `None` where it has not two dimensions.
    ///
    /// # Safety
    /// `range` is a live `MeshCoordinateRange*`.
    pub(crate) unsafe fn place(&self, range: Object) -> Option<Place> {
        let corner = |get: Option<ObjectGetter>| {
            // SAFETY: const getters of a live range and of the coordinate inside it.
            let span = unsafe { self.coordinates?(get?(range)) };
            if span.data.is_null() || span.length != 2 {
                return None;
            }
            // SAFETY: a span of two numbers inside the range.
            Some(unsafe { (*span.data, *span.data.add(1)) })
        };
        let (start, end) = (corner(self.range_start)?, corner(self.range_end)?);
        Some(Place { rows: (start.0, end.0), columns: (start.1, end.1) })
    }

    /// Bytes of the first `count` binaries of a kernel on all its cores together.
    ///
    /// # Safety
    /// `kernel` is a live `Kernel*` that has so many binaries for the live `IDevice*`.
    pub(crate) unsafe fn kernel_bytes(&self, kernel: Object, device: Object, count: usize) -> Option<u64> {
        let (cores_of, count_cores, bytes, delete) =
            (self.kernel_cores?, self.cores?, self.binary_bytes?, self.delete?);
        let count = c_int::try_from(count).ok()?;
        // SAFETY: a const getter that looks up what tt-metal has just looked up itself.
        let per_core: u64 = (0..count).map(|at| u64::from(unsafe { bytes(kernel, device, at) })).sum();
        let none = CxxVector { begin: std::ptr::null(), end: std::ptr::null(), storage: std::ptr::null() };
        let mut ranges = Ranges { ranges: none, more: [0; 29] };
        // SAFETY: the getter constructs a CoreRangeSet, which is smaller than this, in `ranges`.
        unsafe { cores_of(&raw mut ranges, kernel) };
        // SAFETY: a const getter of that set.
        let cores = unsafe { count_cores((&raw const ranges).cast()) };
        if !ranges.ranges.begin.is_null() {
            // SAFETY: the set's own storage, freed as its destructor would: ranges are plain numbers.
            unsafe { delete(ranges.ranges.begin.cast_mut()) };
        }
        per_core.checked_mul(u64::from(cores))
    }

    /// The unique id of the chip with this logical number.
    ///
    /// # Safety
    /// `context` is null or the live `MetalContext*` that a device is being made in.
    pub(crate) unsafe fn unique_id(&self, context: Object, number: u32) -> Option<u64> {
        if context.is_null() {
            return None;
        }
        // SAFETY: the chain of getters that Device::initialize itself goes along; each result is checked.
        let map = unsafe {
            let cluster = self.context_cluster?(context);
            let description = self.cluster_description.filter(|_| !cluster.is_null())?(cluster);
            self.chip_ids.filter(|_| !description.is_null())?(description)
        };
        // SAFETY: a live map of libstdc++, of which nobody changes anything after the cluster is known.
        let map = unsafe { map.cast::<Map>().as_ref()? };
        let mut node = map.first;
        for _ in 0..map.elements {
            // SAFETY: the nodes of that map.
            let this = unsafe { node.as_ref()? };
            if this.key == number as c_int {
                return Some(this.value);
            }
            node = this.next;
        }
        None
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
        let items =
            unsafe { std::slice::from_raw_parts(from.begin, from.end.offset_from(from.begin) as usize) }.to_vec();
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
