//! Every symbol of tt-metal that the hooks know, for a look at a libtt_metal.so without running it.

/// The versions of ttnn that the hooks were tried with, the oldest first: major, minor.
pub const TRIED: [(u32, u32); 4] = [(0, 76), (0, 77), (0, 79), (0, 81)];

/// What a symbol is for. Where one is missing, this is what the hooks do less well or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gives {
    /// Buffers of the allocator: DRAM, L1, L1_SMALL, TRACE.
    Buffers,
    /// Size, type, id and device of a buffer by getter; without them, from its members (0.75 to 0.78).
    BufferGetters,
    /// The exact bytes that a buffer takes from all banks; without it, its size.
    Footprints,
    /// Devices opened and closed, their generation.
    Devices,
    /// The chips under a mesh.
    Meshes,
    /// The unique id of a chip; either way there is suffices.
    ChipIds,
    /// Tensix cores and the size of each memory.
    Capacities,
    /// Circular buffers of programs.
    CircularBuffers,
    /// Dataflow buffers of programs.
    DataflowBuffers,
    /// Scratchpads of kernels.
    Scratchpads,
    /// Which program was dispatched to which chip last.
    Residency,
    /// Kernels of programs.
    Kernels,
    /// Telling fabric and dispatch from the application.
    System,
}

/// One symbol of libtt_metal.so (one, `get_chip_unique_ids`, is of libdevice.so next to it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// As in the dynamic symbol table.
    pub mangled: &'static str,
    /// For people; namespaces of tt-metal left out.
    pub demangled: &'static str,
    /// What it is for.
    pub gives: Gives,
    /// Without it there are no exact buffers at all.
    pub needed: bool,
}

const fn needed(mangled: &'static str, demangled: &'static str, gives: Gives) -> Symbol {
    Symbol { mangled, demangled, gives, needed: true }
}

const fn optional(mangled: &'static str, demangled: &'static str, gives: Gives) -> Symbol {
    Symbol { mangled, demangled, gives, needed: false }
}

/// Functions that the library stands in front of.
pub const HOOKED: &[Symbol] = &[
    optional(
        "_ZN2tt8tt_metal9allocator11FreeListOpt8allocateEmbm",
        "allocator::FreeListOpt::allocate(unsigned long, bool, unsigned long)",
        Gives::Footprints,
    ),
    optional(
        "_ZN2tt8tt_metal9allocator11FreeListOpt19allocate_at_addressEmm",
        "allocator::FreeListOpt::allocate_at_address(unsigned long, unsigned long)",
        Gives::Footprints,
    ),
    optional(
        "_ZN2tt8tt_metal9allocator11FreeListOpt10deallocateEm",
        "allocator::FreeListOpt::deallocate(unsigned long)",
        Gives::Footprints,
    ),
    needed(
        "_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE",
        "AllocatorImpl::allocate_buffer(Buffer*)",
        Gives::Buffers,
    ),
    needed(
        "_ZN2tt8tt_metal13AllocatorImpl17deallocate_bufferEPNS0_6BufferE",
        "AllocatorImpl::deallocate_buffer(Buffer*)",
        Gives::Buffers,
    ),
    optional(
        "_ZN2tt8tt_metal13AllocatorImpl18deallocate_buffersEv",
        "AllocatorImpl::deallocate_buffers()",
        Gives::Buffers,
    ),
    optional("_ZN2tt8tt_metal13AllocatorImpl5clearEv", "AllocatorImpl::clear()", Gives::Buffers),
    optional("_ZN2tt8tt_metal13AllocatorImplD1Ev", "AllocatorImpl::~AllocatorImpl()", Gives::Buffers),
    optional("_ZN2tt8tt_metal13AllocatorImplD2Ev", "AllocatorImpl::~AllocatorImpl()", Gives::Buffers),
    needed(
        "_ZN2tt8tt_metal6DeviceC1EPNS0_8MetalEnvEPNS0_12MetalContextEihmmSt4spanIKjLm18446744073709551615EEbjjm",
        "Device::Device(MetalEnv*, MetalContext*, int, unsigned char, unsigned long, unsigned long, std::span<unsigned int const>, bool, unsigned int, unsigned int, unsigned long)",
        Gives::Devices,
    ),
    optional(
        "_ZN2tt8tt_metal25SharedMemoryStatsProviderC1Emibb",
        "SharedMemoryStatsProvider::SharedMemoryStatsProvider(unsigned long, int, bool, bool)",
        Gives::ChipIds,
    ),
    needed(
        "_ZN2tt8tt_metal6Device10initializeEhmmmSt4spanIKjLm18446744073709551615EEb",
        "Device::initialize(unsigned char, unsigned long, unsigned long, unsigned long, std::span<unsigned int const>, bool)",
        Gives::Devices,
    ),
    needed("_ZN2tt8tt_metal6Device5closeEv", "Device::close()", Gives::Devices),
    optional("_ZN2tt8tt_metal6DeviceD1Ev", "Device::~Device()", Gives::Devices),
    optional("_ZN2tt8tt_metal11distributed10MeshDeviceD1Ev", "MeshDevice::~MeshDevice()", Gives::Devices),
    optional("_ZN2tt8tt_metal6Device16configure_fabricEv", "Device::configure_fabric()", Gives::System),
    optional(
        "_ZN2tt8tt_metal6Device32configure_command_queue_programsEPNS0_16DispatchTopologyE",
        "Device::configure_command_queue_programs(DispatchTopology*)",
        Gives::System,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE",
        "detail::ProgramImpl::allocate_circular_buffers(IDevice const*)",
        Gives::CircularBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_dataflow_buffersEPKNS0_7IDeviceE",
        "detail::ProgramImpl::allocate_dataflow_buffers(IDevice const*)",
        Gives::DataflowBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl20allocate_scratchpadsEPKNS0_7IDeviceE",
        "detail::ProgramImpl::allocate_scratchpads(IDevice const*)",
        Gives::Scratchpads,
    ),
    optional(
        "_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE",
        "GraphTracker::track_allocate_cb(CoreRangeSet const&, unsigned long, unsigned long, bool, IDevice const*)",
        Gives::CircularBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal12GraphTracker30track_allocate_dataflow_bufferERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE",
        "GraphTracker::track_allocate_dataflow_buffer(CoreRangeSet const&, unsigned long, unsigned long, bool, IDevice const*)",
        Gives::DataflowBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal12GraphTracker25track_allocate_scratchpadERKNS0_12CoreRangeSetEmmPKNS0_7IDeviceE",
        "GraphTracker::track_allocate_scratchpad(CoreRangeSet const&, unsigned long, unsigned long, IDevice const*)",
        Gives::Scratchpads,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv",
        "detail::ProgramImpl::deallocate_circular_buffers()",
        Gives::CircularBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl24reserve_program_local_l1EPKNS0_7IDeviceERKNS0_12CoreRangeSetE",
        "detail::ProgramImpl::reserve_program_local_l1(IDevice const*, CoreRangeSet const&)",
        Gives::DataflowBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl23CircularBufferAllocator12mark_addressEmmm",
        "detail::ProgramImpl::CircularBufferAllocator::mark_address(unsigned long, unsigned long, unsigned long)",
        Gives::DataflowBuffers,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl20compile_and_allocateEPNS0_7IDeviceEb",
        "detail::ProgramImpl::compile_and_allocate(IDevice*, bool)",
        Gives::Residency,
    ),
    optional(
        "_ZN2tt8tt_metal11distributed16MeshWorkloadImpl11add_programERKNS1_19MeshCoordinateRangeEONS0_7ProgramE",
        "MeshWorkloadImpl::add_program(MeshCoordinateRange const&, Program&&)",
        Gives::Residency,
    ),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl10add_kernelERKSt10shared_ptrINS0_6KernelEERKNS0_23HalProgrammableCoreTypeE",
        "detail::ProgramImpl::add_kernel(std::shared_ptr<Kernel> const&, HalProgrammableCoreType const&)",
        Gives::Kernels,
    ),
    optional(
        "_ZN2tt8tt_metal16program_dispatch20finalize_kernel_binsEPNS0_7IDeviceEjRKSt13unordered_mapIjSt10shared_ptrINS0_6KernelEESt4hashIjESt8equal_toIjESaISt4pairIKjS7_EEERSt6vectorIS5_INS0_11KernelGroupEESaISL_EEjRjSP_",
        "program_dispatch::finalize_kernel_bins(IDevice*, unsigned int, std::unordered_map<unsigned int, std::shared_ptr<Kernel>> const&, std::vector<std::shared_ptr<KernelGroup>>&, unsigned int, unsigned int&, unsigned int&)",
        Gives::Kernels,
    ),
    optional("_ZNK2tt8tt_metal6Kernel8binariesEm", "Kernel::binaries(unsigned long) const", Gives::Kernels),
    optional(
        "_ZN2tt8tt_metal6detail11ProgramImpl26generate_dispatch_commandsEPNS0_11distributed10MeshDeviceEb",
        "detail::ProgramImpl::generate_dispatch_commands(MeshDevice*, bool)",
        Gives::Capacities,
    ),
    optional(
        "_ZN2tt8tt_metal21WorkerConfigBufferMgr15init_add_bufferEjj",
        "WorkerConfigBufferMgr::init_add_buffer(unsigned int, unsigned int)",
        Gives::Capacities,
    ),
    optional(
        "_ZN2tt8tt_metal21WorkerConfigBufferMgr7reserveERKSt6vectorIjSaIjEE",
        "WorkerConfigBufferMgr::reserve(std::vector<unsigned int> const&)",
        Gives::Capacities,
    ),
];

/// Getters and tables of virtual functions that it asks.
pub const ASKED: &[Symbol] = &[
    optional("_ZNK2tt8tt_metal6Buffer9unique_idEv", "Buffer::unique_id() const", Gives::BufferGetters),
    optional("_ZNK2tt8tt_metal6Buffer4sizeEv", "Buffer::size() const", Gives::BufferGetters),
    optional("_ZNK2tt8tt_metal6Buffer11buffer_typeEv", "Buffer::buffer_type() const", Gives::BufferGetters),
    optional("_ZNK2tt8tt_metal6Buffer7addressEv", "Buffer::address() const", Gives::BufferGetters),
    optional(
        "_ZNK2tt8tt_metal6Buffer21aligned_size_per_bankEv",
        "Buffer::aligned_size_per_bank() const",
        Gives::Footprints,
    ),
    optional("_ZNK2tt8tt_metal6Buffer9num_pagesEv", "Buffer::num_pages() const", Gives::BufferGetters),
    optional("_ZNK2tt8tt_metal6Buffer9page_sizeEv", "Buffer::page_size() const", Gives::BufferGetters),
    optional(
        "_ZNK2tt8tt_metal9allocator11FreeListOpt19get_allocation_sizeEm",
        "allocator::FreeListOpt::get_allocation_size(unsigned long) const",
        Gives::Footprints,
    ),
    optional("_ZNK2tt8tt_metal6Buffer6deviceEv", "Buffer::device() const", Gives::BufferGetters),
    optional(
        "_ZNK2tt8tt_metal13AllocatorImpl13get_num_banksERKNS0_10BufferTypeE",
        "AllocatorImpl::get_num_banks(BufferType const&) const",
        Gives::Footprints,
    ),
    optional(
        "_ZNK2tt8tt_metal13AllocatorImpl13get_bank_sizeERKNS0_10BufferTypeE",
        "AllocatorImpl::get_bank_size(BufferType const&) const",
        Gives::Capacities,
    ),
    optional(
        "_ZNK2tt8tt_metal13AllocatorImpl23get_base_allocator_addrERKNS0_10HalMemTypeE",
        "AllocatorImpl::get_base_allocator_addr(HalMemType const&) const",
        Gives::Capacities,
    ),
    optional("_ZNK2tt8tt_metal12CoreRangeSet9num_coresEv", "CoreRangeSet::num_cores() const", Gives::CircularBuffers),
    optional("_ZNK2tt8tt_metal6Kernel18logical_corerangesEv", "Kernel::logical_coreranges() const", Gives::Kernels),
    optional(
        "_ZNK2tt8tt_metal6Kernel22get_binary_packed_sizeEPNS0_7IDeviceEi",
        "Kernel::get_binary_packed_size(IDevice*, int) const",
        Gives::Kernels,
    ),
    optional("_ZNK2tt8tt_metal6Device4archEv", "Device::arch() const", Gives::Devices),
    optional("_ZNK2tt8tt_metal6Device17logical_grid_sizeEv", "Device::logical_grid_size() const", Gives::Capacities),
    optional("_ZNK2tt8tt_metal6Device16l1_size_per_coreEv", "Device::l1_size_per_core() const", Gives::Capacities),
    optional("_ZNK2tt8tt_metal6Device17num_dram_channelsEv", "Device::num_dram_channels() const", Gives::Capacities),
    optional(
        "_ZNK2tt8tt_metal6Device21dram_size_per_channelEv",
        "Device::dram_size_per_channel() const",
        Gives::Capacities,
    ),
    optional("_ZNK2tt8tt_metal6Device14allocator_implEv", "Device::allocator_impl() const", Gives::Capacities),
    needed(
        "_ZNK2tt8tt_metal11distributed10MeshDevice11get_devicesEv",
        "MeshDevice::get_devices() const",
        Gives::Meshes,
    ),
    optional(
        "_ZNK2tt8tt_metal11distributed10MeshDevice14get_device_idsEv",
        "MeshDevice::get_device_ids() const",
        Gives::Meshes,
    ),
    optional("_ZNK2tt8tt_metal11distributed10MeshDevice8num_colsEv", "MeshDevice::num_cols() const", Gives::Residency),
    optional(
        "_ZNK2tt8tt_metal11distributed19MeshCoordinateRange11start_coordEv",
        "MeshCoordinateRange::start_coord() const",
        Gives::Residency,
    ),
    optional(
        "_ZNK2tt8tt_metal11distributed19MeshCoordinateRange9end_coordEv",
        "MeshCoordinateRange::end_coord() const",
        Gives::Residency,
    ),
    optional(
        "_ZNK2tt8tt_metal11distributed14MeshCoordinate6coordsEv",
        "MeshCoordinate::coords() const",
        Gives::Residency,
    ),
    optional("_ZN2tt8tt_metal12MetalContext11get_clusterEv", "MetalContext::get_cluster()", Gives::ChipIds),
    optional("_ZNK2tt7Cluster16get_cluster_descEv", "tt::Cluster::get_cluster_desc() const", Gives::ChipIds),
    optional(
        "_ZNK2tt3umd17ClusterDescriptor19get_chip_unique_idsEv",
        "tt::umd::ClusterDescriptor::get_chip_unique_ids() const",
        Gives::ChipIds,
    ),
    needed("_ZTVN2tt8tt_metal6DeviceE", "vtable for Device", Gives::Devices),
    needed("_ZTVN2tt8tt_metal11distributed10MeshDeviceE", "vtable for MeshDevice", Gives::Meshes),
];

#[cfg(test)]
mod tests {
    use super::{ASKED, HOOKED};

    const SOURCES: [&str; 7] = [
        include_str!("blocks.rs"),
        include_str!("buffers.rs"),
        include_str!("circular_buffers.rs"),
        include_str!("devices.rs"),
        include_str!("dispatches.rs"),
        include_str!("getters.rs"),
        include_str!("kernels.rs"),
    ];

    fn named(before: &'static str) -> impl Iterator<Item = &'static str> {
        SOURCES.iter().flat_map(move |source| source.split(before).skip(1)).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_hook_is_in_the_table_and_calls_its_own_next() {
        let hooks: Vec<&str> = named("export_name = \"").collect();
        let next: Vec<&str> = named("c\"").collect();
        assert_eq!(hooks.len(), HOOKED.len());
        for hook in hooks {
            assert!(HOOKED.iter().any(|symbol| symbol.mangled == hook), "{hook}");
            assert_eq!(next.iter().filter(|name| **name == hook).count(), 1, "{hook}");
        }
    }

    #[test]
    fn every_getter_is_in_the_table() {
        let mine = |name: &&str| *name != "_ZdlPv" && !HOOKED.iter().any(|symbol| symbol.mangled == *name);
        let asked: Vec<&str> = named("c\"").filter(mine).collect();
        assert_eq!(asked.len(), ASKED.len());
        for name in asked {
            assert!(ASKED.iter().any(|symbol| symbol.mangled == name), "{name}");
        }
    }
}
