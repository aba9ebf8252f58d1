//! Where programs go: to which part of a mesh, and when they are dispatched.

use crate::getters::Getters;
use crate::guard::{aside, enabled};
use crate::next::next;
use crate::programs::{dispatched, placed};
use std::ffi::c_void;

type Object = *const c_void;

type Compile = unsafe extern "C-unwind" fn(Object, Object, bool);

/// `void ProgramImpl::compile_and_allocate(IDevice*, bool force_slow_dispatch)`: at each dispatch.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl20compile_and_allocateEPNS0_7IDeviceEb")]
pub unsafe extern "C-unwind" fn compile_and_allocate(program: Object, device: Object, slow: bool) {
    let next = next!(c"_ZN2tt8tt_metal6detail11ProgramImpl20compile_and_allocateEPNS0_7IDeviceEb", Compile);
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(program, device, slow) };
    if enabled() {
        // SAFETY: tt-metal holds the objects until this call returns.
        aside(|| unsafe { dispatched(program, device) });
    }
}

type Add = unsafe extern "C-unwind" fn(Object, Object, *const Object);

/// `void MeshWorkloadImpl::add_program(const MeshCoordinateRange&, Program&&)`: a workload may run one
/// program on some chips of a mesh and another on others.
///
/// A `Program` is one `std::shared_ptr<ProgramImpl>`, so its first word is the `ProgramImpl*`.
///
/// # Safety
/// Called by tt-metal.
#[unsafe(export_name = "_ZN2tt8tt_metal11distributed16MeshWorkloadImpl11add_programERKNS1_19MeshCoordinateRangeEONS0_7ProgramE")]
pub unsafe extern "C-unwind" fn add_program(workload: Object, range: Object, program: *const Object) {
    let next = next!(
        c"_ZN2tt8tt_metal11distributed16MeshWorkloadImpl11add_programERKNS1_19MeshCoordinateRangeEONS0_7ProgramE",
        Add
    );
    if enabled() && !range.is_null() && !program.is_null() {
        aside(|| {
            // SAFETY: tt-metal holds both until this call returns; the call below moves the program out.
            let (program, place) = unsafe { (*program, Getters::get().place(range)) };
            if !program.is_null() {
                placed(program, place);
            }
        });
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { next(workload, range, program) }
}
