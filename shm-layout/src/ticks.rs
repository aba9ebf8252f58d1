//! The processor's counter: exact time for less than a clock costs, for whoever asks for it (`TT_ALLOC_CLOCK=tsc`).
//!
//! Ticks are raw: x86's time stamp counter, Arm's virtual counter. A ring's header tells the moment at which it was made by
//! both clocks; a reader pairs the two clocks again when it reads and interpolates. Where the kernel itself does not trust the
//! counter, nobody here does.

/// Where the kernel says which counter its clocks are made of.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Kernel clocks that are the raw counter, scaled: it then runs at one pace, on all processors alike, also in sleep states.
const MADE_OF_TICKS: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

/// The counter now; 0 on a machine whose counter this build does not know.
#[inline(always)]
pub fn now() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let ticks;
        // SAFETY: reads a register that Linux lets programs read; touches no memory and no flag.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
        ticks
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        0
    }
}

/// Whether the counter tells time here: known to this build, and trusted by the kernel.
pub fn tell_time() -> bool {
    let source = std::fs::read_to_string(CLOCK_SOURCE).unwrap_or_default();
    now() != 0 && MADE_OF_TICKS.contains(&source.trim())
}
